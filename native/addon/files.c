/* Part of the addon: files. See addon.h. */
#include "addon.h"

void addon_files_register(napi_env env, napi_value exports) {
    (void)env;
    (void)exports;
}
