/* Part of the addon: process. See addon.h. */
#include "addon.h"

void addon_process_register(napi_env env, napi_value exports) {
    (void)env;
    (void)exports;
}
