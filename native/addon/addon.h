/*
 * What the addon's parts share: argument and error helpers, and the list of parts. Each part is one file that
 * adds its functions to the exports; it takes numbers, strings and byte arrays that TypeScript has checked,
 * makes system calls, and reports errors as { code: "ENOENT", errno, syscall, path } on an Error object.
 */
#ifndef GANTRY_ADDON_H
#define GANTRY_ADDON_H

#define NAPI_VERSION 9
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addon_function {
    const char *name;
    napi_callback callback;
};

/* Adds the functions to the exports object; count entries. */
void addon_export(napi_env env, napi_value exports, const struct addon_function *functions, size_t count);

/* Throws an Error with the fields code, errno, syscall and, if not NULL, path. Returns NULL, for `return`. */
napi_value addon_throw_errno(napi_env env, int err, const char *syscall, const char *path);
/* Makes (does not throw) the same Error, for the completion of asynchronous work. */
napi_value addon_make_errno(napi_env env, int err, const char *syscall, const char *path);
/* Throws a TypeError. Returns NULL. */
napi_value addon_throw_type(napi_env env, const char *message);

/* Each reads argument `index` of a call; false, with a TypeError pending, where it has another type. */
bool addon_args(napi_env env, napi_callback_info info, size_t count, napi_value *out);
bool addon_int32(napi_env env, napi_value value, int32_t *out);
bool addon_uint32(napi_env env, napi_value value, uint32_t *out);
bool addon_int64(napi_env env, napi_value value, int64_t *out);
bool addon_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length);
/* A new NUL-terminated copy that the caller frees; strings with an inner NUL are refused. */
char *addon_string(napi_env env, napi_value value);

/* For __attribute__((cleanup)): frees the string, closes the descriptor unless it is negative. */
void addon_free_string(char **text);
void addon_close(int *fd);

/* A unix socket of the type, bound to the path; -1 with an exception pending. */
int addon_bind_unix(napi_env env, const char *path, int type);

/* The parts. */
void addon_files_register(napi_env env, napi_value exports);   /* unpacking below a directory descriptor */
void addon_process_register(napi_env env, napi_value exports); /* spawning a detached process, pidfds */
void addon_run_program_register(napi_env env, napi_value exports); /* programs run for their result */
void addon_netlink_register(napi_env env, napi_value exports);     /* netlink sockets, in a given namespace */
void addon_namespace_register(napi_env env, napi_value exports);   /* making and pinning namespaces */
void addon_mount_register(napi_env env, napi_value exports);       /* the few mounts that the daemon makes */
void addon_notify_register(napi_env env, napi_value exports);      /* service readiness, file locks */
void addon_procfs_register(napi_env env, napi_value exports);      /* verified files of /proc */
void addon_console_register(napi_env env, napi_value exports);     /* pipes, fifos, terminals over a socket */
void addon_device_filter_register(napi_env env, napi_value exports);    /* device rules of cgroup v2 */
void addon_loopback_connect_register(napi_env env, napi_value exports); /* TCP inside a network namespace */
void addon_small_files_register(napi_env env, napi_value exports);      /* many files of cgroups and /proc */

void addon_launch_program_register(napi_env env, napi_value exports); /* the launcher of the command */
void addon_label_register(napi_env env, napi_value exports);          /* extended attributes of whole trees */
void addon_datagram_register(napi_env env, napi_value exports);       /* datagram sockets to listen on */
void addon_clock_register(napi_env env, napi_value exports);          /* the wall clock */
void addon_attribute_register(napi_env env, napi_value exports);      /* an extended attribute of one file */

#endif
