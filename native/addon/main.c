/* The addon's entry point and the helpers that its parts share. See addon.h. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

void addon_export(napi_env env, napi_value exports, const struct addon_function *functions, size_t count) {
    for (size_t i = 0; i < count; i++) {
        napi_value fn;
        if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].callback, NULL,
                                 &fn) != napi_ok)
            return;
        napi_set_named_property(env, exports, functions[i].name, fn);
    }
}

static void set_string(napi_env env, napi_value object, const char *key, const char *text) {
    napi_value value;
    if (napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok)
        napi_set_named_property(env, object, key, value);
}

napi_value addon_make_errno(napi_env env, int err, const char *syscall, const char *path) {
    const char *name = strerrorname_np(err);
    if (name == NULL) name = "EUNKNOWN";
    char text[512];
    size_t used = 0;
    const char *parts[] = {syscall, path ? " " : "", path ? path : "", ": ", name};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t n = strlen(parts[i]);
        if (n > sizeof text - 1 - used) n = sizeof text - 1 - used;
        memcpy(text + used, parts[i], n);
        used += n;
    }
    text[used] = 0;
    napi_value message, error, number;
    napi_create_string_utf8(env, text, used, &message);
    napi_create_error(env, NULL, message, &error);
    set_string(env, error, "code", name);
    set_string(env, error, "syscall", syscall);
    if (path) set_string(env, error, "path", path);
    napi_create_int32(env, -err, &number);
    napi_set_named_property(env, error, "errno", number);
    return error;
}

napi_value addon_throw_errno(napi_env env, int err, const char *syscall, const char *path) {
    napi_throw(env, addon_make_errno(env, err, syscall, path));
    return NULL;
}

napi_value addon_throw_type(napi_env env, const char *message) {
    napi_throw_type_error(env, NULL, message);
    return NULL;
}

bool addon_args(napi_env env, napi_callback_info info, size_t count, napi_value *out) {
    size_t argc = count;
    if (napi_get_cb_info(env, info, &argc, out, NULL, NULL) != napi_ok || argc < count) {
        addon_throw_type(env, "too few arguments");
        return false;
    }
    return true;
}

bool addon_int32(napi_env env, napi_value value, int32_t *out) {
    if (napi_get_value_int32(env, value, out) == napi_ok) return true;
    addon_throw_type(env, "argument is not a number");
    return false;
}

bool addon_uint32(napi_env env, napi_value value, uint32_t *out) {
    if (napi_get_value_uint32(env, value, out) == napi_ok) return true;
    addon_throw_type(env, "argument is not a number");
    return false;
}

bool addon_int64(napi_env env, napi_value value, int64_t *out) {
    if (napi_get_value_int64(env, value, out) == napi_ok) return true;
    addon_throw_type(env, "argument is not a number");
    return false;
}

bool addon_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length) {
    bool typed = false;
    if (napi_is_typedarray(env, value, &typed) == napi_ok && typed) {
        napi_typedarray_type type;
        void *start = NULL;
        if (napi_get_typedarray_info(env, value, &type, length, &start, NULL, NULL) == napi_ok &&
            type == napi_uint8_array) {
            *data = start;
            return true;
        }
    }
    addon_throw_type(env, "argument is not a Uint8Array");
    return false;
}

char *addon_string(napi_env env, napi_value value) {
    size_t length = 0;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
        addon_throw_type(env, "argument is not a string");
        return NULL;
    }
    char *text = malloc(length + 1);
    if (text == NULL) {
        addon_throw_errno(env, ENOMEM, "malloc", NULL);
        return NULL;
    }
    napi_get_value_string_utf8(env, value, text, length + 1, &length);
    if (strlen(text) != length) {
        free(text);
        addon_throw_type(env, "string holds a NUL");
        return NULL;
    }
    return text;
}

void addon_free_string(char **text) {
    free(*text);
}

void addon_close(int *fd) {
    if (*fd >= 0) close(*fd);
}

int addon_bind_unix(napi_env env, const char *path, int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        addon_throw_errno(env, ENAMETOOLONG, "bind", path);
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        addon_throw_errno(env, errno, "socket", NULL);
        return -1;
    }
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    addon_throw_errno(env, errno, "bind", path);
    close(fd);
    return -1;
}

static napi_value addon_init(napi_env env, napi_value exports) {
    addon_files_register(env, exports);
    addon_process_register(env, exports);
    addon_run_program_register(env, exports);
    addon_netlink_register(env, exports);
    addon_namespace_register(env, exports);
    addon_mount_register(env, exports);
    addon_notify_register(env, exports);
    /* What whoever started us left open is not for the programs that we start. Before Linux 5.11 it is. */
    syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
    addon_clock_register(env, exports);
    addon_console_register(env, exports);
    addon_procfs_register(env, exports);
    addon_device_filter_register(env, exports);
    addon_label_register(env, exports);
    addon_attribute_register(env, exports);
    addon_datagram_register(env, exports);
    addon_launch_program_register(env, exports);
    addon_loopback_connect_register(env, exports);
    addon_small_files_register(env, exports);
    return exports;
}

NAPI_MODULE(gantry, addon_init)
