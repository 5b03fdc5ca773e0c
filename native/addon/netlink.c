/* Part of the addon: netlink. See addon.h. */
#include "addon.h"

void addon_netlink_register(napi_env env, napi_value exports) {
    (void)env;
    (void)exports;
}
