/* Part of the addon: the kernel's wall clock with nanoseconds. Node reads it only in milliseconds. */
#define _GNU_SOURCE
#include "addon.h"

#include <time.h>

/* realTimeNs(): nanoseconds since the epoch. */
static napi_value real_time_ns(napi_env env, napi_callback_info info) {
    (void)info;
    struct timespec now;
    napi_value result;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    return napi_create_bigint_int64(env, ns, &result) == napi_ok ? result : NULL;
}

void addon_clock_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"realTimeNs", real_time_ns}};
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
