/* Part of the addon: namespace. See addon.h. */
#include "addon.h"

void addon_namespace_register(napi_env env, napi_value exports) {
    (void)env;
    (void)exports;
}
