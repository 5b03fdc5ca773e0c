/* Verified access to /proc. See procfs.h. */
#define _GNU_SOURCE
#include "procfs.h"
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PROC_ROOT_INODE 1

static int open_resolved(int directory, const char *path, int flags, uint64_t resolve) {
    struct open_how how = {.flags = (uint32_t)(flags | O_CLOEXEC), .resolve = resolve};
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

static bool is_procfs(int fd) {
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

int procfs_open_root(void) {
    int fd = open_resolved(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    struct stat status;
    if (fd < 0 || (is_procfs(fd) && fstat(fd, &status) == 0 && status.st_ino == PROC_ROOT_INODE)) return fd;
    close(fd);
    errno = ENOTSUP;
    return -1;
}

int procfs_open(int directory, const char *path, int flags) {
    return open_resolved(directory, path, flags, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);
}

/* procfsOpen(directory or -1 for the root, path, flags) → descriptor */
static napi_value open_file(napi_env env, napi_callback_info info) {
    napi_value args[3], result;
    int32_t directory, flags;
    if (!addon_args(env, info, 3, args) || !addon_int32(env, args[0], &directory) ||
        !addon_int32(env, args[2], &flags))
        return NULL;
    char *path = addon_string(env, args[1]);
    if (path == NULL) return NULL;
    int root = directory < 0 ? procfs_open_root() : -1;
    int at = directory < 0 ? root : directory, fd = -1;
    if (directory >= 0 && !is_procfs(directory))
        errno = ENOTSUP;
    else if (at >= 0)
        fd = procfs_open(at, path, flags);
    if (fd < 0) addon_throw_errno(env, errno, "openat2", path);
    if (root >= 0) close(root);
    free(path);
    return fd < 0 || napi_create_int32(env, fd, &result) != napi_ok ? NULL : result;
}

void addon_procfs_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"procfsOpen", open_file}};
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
