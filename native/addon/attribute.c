/* Part of the addon: one extended attribute of one file, for short texts. Node has no call for them. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#define LONGEST 256

/* getAttribute(path, name): its text; "" where there is none, or no such file. */
static napi_value get_attribute(napi_env env, napi_callback_info info) {
    napi_value args[2], result;
    char text[LONGEST];
    if (!addon_args(env, info, 2, args)) return NULL;
    __attribute__((cleanup(addon_free_string))) char *path = addon_string(env, args[0]);
    if (path == NULL) return NULL;
    __attribute__((cleanup(addon_free_string))) char *name = addon_string(env, args[1]);
    if (name == NULL) return NULL;
    ssize_t length = lgetxattr(path, name, text, sizeof text);
    if (length < 0 && (errno == ENODATA || errno == ENOENT || errno == ENODEV || errno == EOPNOTSUPP))
        length = 0;
    if (length < 0) return addon_throw_errno(env, errno, "lgetxattr", path);
    return napi_create_string_utf8(env, text, (size_t)length, &result) == napi_ok ? result : NULL;
}

/* setAttribute(path, name, text): "" takes it away. */
static napi_value set_attribute(napi_env env, napi_callback_info info) {
    napi_value args[3];
    if (!addon_args(env, info, 3, args)) return NULL;
    __attribute__((cleanup(addon_free_string))) char *path = addon_string(env, args[0]);
    if (path == NULL) return NULL;
    __attribute__((cleanup(addon_free_string))) char *name = addon_string(env, args[1]);
    if (name == NULL) return NULL;
    __attribute__((cleanup(addon_free_string))) char *text = addon_string(env, args[2]);
    if (text == NULL) return NULL;
    if (text[0] == 0) {
        if (lremovexattr(path, name) < 0 && errno != ENODATA)
            return addon_throw_errno(env, errno, "lremovexattr", path);
    } else if (lsetxattr(path, name, text, strlen(text), 0) < 0) {
        return addon_throw_errno(env, errno, "lsetxattr", path);
    }
    return NULL;
}

void addon_attribute_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {
        {"getAttribute", get_attribute},
        {"setAttribute", set_attribute},
    };
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
