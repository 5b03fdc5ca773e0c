/* Part of the addon: mount. See addon.h. */
#include "addon.h"

void addon_mount_register(napi_env env, napi_value exports) {
    (void)env;
    (void)exports;
}
