/*
 * Part of the addon: files. The unpacker's batches run where they are called, in a worker thread; what may
 * take long (disk usage, removal, copying, syncing) runs as asynchronous work and resolves a promise; looking
 * one file up in a layer is short and runs at once. See files.h and src/native/files.ts.
 */
#define _GNU_SOURCE
#include "files.h"
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- batches */

static void tree_finalize(napi_env env, void *data, void *hint) {
    (void)env;
    (void)hint;
    struct files_tree **box = data;
    if (*box) files_tree_close(*box);
    free(box);
}

static napi_value tree_open(napi_env env, napi_callback_info info) {
    napi_value args[1], result;
    if (!addon_args(env, info, 1, args)) return NULL;
    char *path = addon_string(env, args[0]);
    if (!path) return NULL;
    struct files_tree **box = malloc(sizeof *box);
    *box = box ? files_tree_open(path) : NULL;
    if (!box || !*box) {
        napi_value error = addon_make_errno(env, errno, "open", path);
        free(box);
        free(path);
        napi_throw(env, error);
        return NULL;
    }
    free(path);
    if (napi_create_external(env, box, tree_finalize, NULL, &result) == napi_ok) return result;
    tree_finalize(env, box, NULL);
    return addon_throw_type(env, "no external value");
}

static struct files_tree **tree_argument(napi_env env, napi_value value) {
    void *box = NULL;
    napi_valuetype type;
    if (napi_typeof(env, value, &type) == napi_ok && type == napi_external)
        napi_get_value_external(env, value, &box);
    if (box && *(struct files_tree **)box) return box;
    addon_throw_type(env, "argument is not an open tree");
    return NULL;
}

static napi_value tree_close(napi_env env, napi_callback_info info) {
    napi_value args[1];
    if (!addon_args(env, info, 1, args)) return NULL;
    struct files_tree **box = tree_argument(env, args[0]);
    if (!box) return NULL;
    files_tree_close(*box);
    *box = NULL;
    return NULL;
}

/* (tree, operations, bytes of them, content): undefined, or an Error with the index of the record in
 * `operation`. */
static napi_value tree_apply(napi_env env, napi_callback_info info) {
    napi_value args[4], number;
    uint8_t *ops, *data;
    size_t ops_capacity, data_length;
    uint32_t ops_length, failed = 0;
    if (!addon_args(env, info, 4, args)) return NULL;
    struct files_tree **box = tree_argument(env, args[0]);
    if (!box || !addon_bytes(env, args[1], &ops, &ops_capacity) || !addon_uint32(env, args[2], &ops_length) ||
        !addon_bytes(env, args[3], &data, &data_length))
        return NULL;
    if (ops_length > ops_capacity) return addon_throw_type(env, "operations are shorter than their length");
    const char *syscall = "";
    int error = files_tree_apply(*box, ops, ops_length, data, data_length, &failed, &syscall);
    if (!error) return NULL;
    napi_value object = addon_make_errno(env, error, syscall, NULL);
    napi_create_uint32(env, failed, &number);
    napi_set_named_property(env, object, "operation", number);
    return object;
}

/* ---- asynchronous work */

enum work_kind { WORK_USAGE, WORK_REMOVE, WORK_COPY, WORK_SYNC };

struct work {
    enum work_kind kind;
    napi_async_work handle;
    napi_deferred deferred;
    char *paths[3];
    bool whiteouts;
    uint64_t bytes, inodes;
    int error;
    const char *syscall;
};

static int sync_filesystem(const char *path, const char **syscall) {
    *syscall = "syncfs";
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return *syscall = "open", errno;
    int error = syncfs(fd) < 0 ? errno : 0;
    close(fd);
    return error;
}

static void work_execute(napi_env env, void *data) {
    (void)env;
    struct work *work = data;
    switch (work->kind) {
    case WORK_USAGE:
        work->error = files_usage(work->paths[0], &work->bytes, &work->inodes, &work->syscall);
        break;
    case WORK_REMOVE:
        work->error = files_remove(AT_FDCWD, work->paths[0], &work->syscall);
        break;
    case WORK_COPY:
        work->error =
            files_copy(work->paths[0], work->paths[1], work->paths[2], work->whiteouts, &work->syscall);
        break;
    case WORK_SYNC:
        work->error = sync_filesystem(work->paths[0], &work->syscall);
        break;
    }
}

static void work_free(struct work *work) {
    for (size_t i = 0; i < 3; i++)
        free(work->paths[i]);
    free(work);
}

static void work_complete(napi_env env, napi_status status, void *data) {
    struct work *work = data;
    if (status == napi_cancelled) work->error = ECANCELED, work->syscall = "work";
    napi_value result;
    if (work->error) {
        napi_reject_deferred(env, work->deferred,
                             addon_make_errno(env, work->error, work->syscall, work->paths[0]));
    } else {
        napi_value bytes, inodes;
        napi_create_object(env, &result);
        napi_create_int64(env, (int64_t)work->bytes, &bytes);
        napi_create_int64(env, (int64_t)work->inodes, &inodes);
        napi_set_named_property(env, result, "bytes", bytes);
        napi_set_named_property(env, result, "inodes", inodes);
        napi_resolve_deferred(env, work->deferred, result);
    }
    napi_delete_async_work(env, work->handle);
    work_free(work);
}

/* Starts the work with `count` paths as its first arguments and, for a copy, the flag after them. */
static napi_value work_start(napi_env env, napi_callback_info info, enum work_kind kind, size_t count) {
    napi_value args[4], promise, name;
    size_t arguments = kind == WORK_COPY ? count + 1 : count;
    if (!addon_args(env, info, arguments, args)) return NULL;
    struct work *work = calloc(1, sizeof *work);
    if (!work) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    work->kind = kind;
    work->syscall = "";
    for (size_t i = 0; i < count; i++) {
        work->paths[i] = addon_string(env, args[i]);
        if (!work->paths[i]) return work_free(work), NULL;
    }
    if (kind == WORK_COPY && napi_get_value_bool(env, args[count], &work->whiteouts) != napi_ok)
        return work_free(work), addon_throw_type(env, "argument is not a boolean");
    napi_create_string_utf8(env, "gantry-files", NAPI_AUTO_LENGTH, &name);
    if (napi_create_promise(env, &work->deferred, &promise) != napi_ok ||
        napi_create_async_work(env, NULL, name, work_execute, work_complete, work, &work->handle) !=
            napi_ok ||
        napi_queue_async_work(env, work->handle) != napi_ok)
        return addon_throw_type(env, "no asynchronous work");
    return promise;
}

static napi_value usage(napi_env env, napi_callback_info info) {
    return work_start(env, info, WORK_USAGE, 1);
}
static napi_value remove_tree(napi_env env, napi_callback_info info) {
    return work_start(env, info, WORK_REMOVE, 1);
}
static napi_value copy_tree(napi_env env, napi_callback_info info) {
    return work_start(env, info, WORK_COPY, 3);
}
static napi_value sync_tree(napi_env env, napi_callback_info info) {
    return work_start(env, info, WORK_SYNC, 1);
}

/* ---- looking one file up */

/* (root, path): opens below the root without following any link. -1 with errno set, or with an exception
 * pending. */
static int open_below(napi_env env, napi_value root, napi_value path, uint64_t flags) {
    uint8_t *bytes;
    size_t length;
    char name[PATH_MAX];
    char *directory = addon_string(env, root);
    if (!directory) return -1;
    if (!addon_bytes(env, path, &bytes, &length)) return free(directory), -1;
    int at = open(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error = errno;
    free(directory);
    if (at < 0) return errno = error, -1;
    int fd = -1;
    if (length >= sizeof name || (length > 0 && memchr(bytes, 0, length))) {
        errno = ENAMETOOLONG;
    } else {
        if (length > 0) memcpy(name, bytes, length);
        name[length] = 0;
        fd = files_open_within(at, length ? name : ".", flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    }
    error = errno;
    close(at);
    errno = error;
    return fd;
}

static bool missing(int error) {
    return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG || error == ENXIO;
}

static napi_value absent(napi_env env, const char *syscall) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (pending || missing(errno)) return NULL;
    return addon_throw_errno(env, errno, syscall, NULL);
}

static void set_value(napi_env env, napi_value object, const char *key, napi_value value) {
    napi_set_named_property(env, object, key, value);
}

/* (root, path): { mode, device, opaque, target } of what stands there, undefined where nothing does. */
static napi_value lookup(napi_env env, napi_callback_info info) {
    napi_value args[2], object, value;
    if (!addon_args(env, info, 2, args)) return NULL;
    errno = 0;
    int fd = open_below(env, args[0], args[1], O_PATH | O_NOFOLLOW);
    if (fd < 0) return absent(env, "openat2");
    struct stat st;
    char target[PATH_MAX], opaque[2] = "", path[40] = "/proc/self/fd/";
    ssize_t length = 0;
    int error = fstat(fd, &st) < 0 ? errno : 0;
    if (!error && S_ISLNK(st.st_mode) && (length = readlinkat(fd, "", target, sizeof target)) < 0)
        error = errno;
    if (!error && S_ISDIR(st.st_mode)) {
        char digits[16];
        size_t n = 0;
        for (int rest = fd; rest > 0 || n == 0; rest /= 10)
            digits[n++] = (char)('0' + rest % 10);
        for (size_t i = 0, at = strlen(path); i < n; i++)
            path[at + i] = digits[n - 1 - i];
        if (getxattr(path, "trusted.overlay.opaque", opaque, sizeof opaque) != 1) opaque[0] = 0;
    }
    close(fd);
    if (error) return addon_throw_errno(env, error, "fstat", NULL);
    napi_create_object(env, &object);
    napi_create_uint32(env, st.st_mode, &value);
    set_value(env, object, "mode", value);
    napi_create_uint32(env, st.st_uid, &value);
    set_value(env, object, "uid", value);
    napi_create_uint32(env, st.st_gid, &value);
    set_value(env, object, "gid", value);
    napi_create_int64(env, (int64_t)st.st_rdev, &value);
    set_value(env, object, "device", value);
    napi_get_boolean(env, opaque[0] == 'y', &value);
    set_value(env, object, "opaque", value);
    napi_create_buffer_copy(env, (size_t)length, target, NULL, &value);
    set_value(env, object, "target", value);
    return object;
}

/* (root, path, limit): the content of a regular file, undefined where there is none; EFBIG above the limit.
 */
static napi_value read_file(napi_env env, napi_callback_info info) {
    napi_value args[3], result;
    int64_t limit;
    if (!addon_args(env, info, 3, args) || !addon_int64(env, args[2], &limit)) return NULL;
    errno = 0;
    int fd = open_below(env, args[0], args[1], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return absent(env, "openat2");
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) return close(fd), NULL;
    if (st.st_size > limit) return close(fd), addon_throw_errno(env, EFBIG, "read", NULL);
    void *bytes = NULL;
    if (napi_create_buffer(env, (size_t)st.st_size, &bytes, &result) != napi_ok) return close(fd), NULL;
    for (off_t at = 0; at < st.st_size;) {
        ssize_t n = pread(fd, (char *)bytes + at, (size_t)(st.st_size - at), at);
        if (n <= 0) {
            int error = n < 0 ? errno : EIO;
            close(fd);
            return addon_throw_errno(env, error, "read", NULL);
        }
        at += n;
    }
    close(fd);
    return result;
}

void addon_files_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {
        {"filesTreeOpen", tree_open}, {"filesTreeApply", tree_apply}, {"filesTreeClose", tree_close},
        {"filesUsage", usage},        {"filesRemove", remove_tree},   {"filesCopy", copy_tree},
        {"filesSync", sync_tree},     {"filesLookup", lookup},        {"filesRead", read_file},
    };
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
