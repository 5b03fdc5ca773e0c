/*
 * Part of the addon: the few mounts that the daemon itself makes (namespace pins, a pod's /dev/shm), through
 * the mount API of descriptors (Linux 5.2). See addon.h and mount.h.
 */
#define _GNU_SOURCE
#include "mount.h"
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From sys/mount.h, which does not go together with linux/mount.h in every C library. */
int umount2(const char *target, int flags);
#define DETACH 2

int mount_bind(int source, int target) {
    int tree = (int)syscall(SYS_open_tree, source, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) return -1;
    int result =
        (int)syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    int err = errno;
    close(tree);
    errno = err;
    return result;
}

/* 1 if the descriptor is the root of a mount, 0 if not, -1 with errno. */
static int is_mount_root(int fd) {
    struct statx status;
    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_TYPE, &status) != 0) return -1;
    return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int mount_detach(int directory, const char *name) {
    for (;;) {
        int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) return errno == ENOENT ? 0 : -1;
        int mounted = is_mount_root(fd);
        if (mounted == 1) {
            char path[40];
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            if (umount2(path, DETACH) != 0) mounted = -1;
        }
        int err = errno;
        close(fd);
        errno = err;
        if (mounted != 1) return mounted;
    }
}

struct mount_job {
    struct job job;
    char *source; /* of a bind mount */
    char *target;
    char options[4][32]; /* size in bytes, mode in octal, uid, gid */
    uint32_t attributes;
};

static void mount_release(struct job *base) {
    free(((struct mount_job *)base)->source);
    free(((struct mount_job *)base)->target);
    free(base);
}

static void tmpfs_run(struct job *base) {
    struct mount_job *job = (struct mount_job *)base;
    int target = open(job->target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0) return job_fail(base, "open", job->target);
    int filesystem = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), tree = -1;
    if (filesystem < 0)
        job_fail(base, "fsopen", "tmpfs");
    else if (syscall(SYS_fsconfig, filesystem, FSCONFIG_SET_STRING, "source", "shm", 0) != 0 ||
             syscall(SYS_fsconfig, filesystem, FSCONFIG_SET_STRING, "size", job->options[0], 0) != 0 ||
             syscall(SYS_fsconfig, filesystem, FSCONFIG_SET_STRING, "mode", job->options[1], 0) != 0 ||
             syscall(SYS_fsconfig, filesystem, FSCONFIG_SET_STRING, "uid", job->options[2], 0) != 0 ||
             syscall(SYS_fsconfig, filesystem, FSCONFIG_SET_STRING, "gid", job->options[3], 0) != 0 ||
             syscall(SYS_fsconfig, filesystem, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
        job_fail(base, "fsconfig", job->target);
    else if ((tree = (int)syscall(SYS_fsmount, filesystem, FSMOUNT_CLOEXEC, job->attributes)) < 0)
        job_fail(base, "fsmount", job->target);
    else if (syscall(SYS_move_mount, tree, "", target, "",
                     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
        job_fail(base, "move_mount", job->target);
    if (tree >= 0) close(tree);
    if (filesystem >= 0) close(filesystem);
    close(target);
}

static struct mount_job *mount_job_new(napi_env env, napi_value target, void (*run)(struct job *)) {
    struct mount_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        addon_throw_errno(env, ENOMEM, "calloc", NULL);
        return NULL;
    }
    job->job = (struct job){.run = run, .release = mount_release};
    if ((job->target = addon_string(env, target)) != NULL) return job;
    mount_release(&job->job);
    return NULL;
}

/* mountTmpfs(target, sizeBytes, mode, nosuid, nodev, noexec, uid, gid) → Promise<void> */
static napi_value mount_tmpfs(napi_env env, napi_callback_info info) {
    static const uint32_t attributes[] = {MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC};
    napi_value args[8];
    int64_t size;
    uint32_t mode, uid, gid, wanted = 0;
    if (!addon_args(env, info, 8, args) || !addon_int64(env, args[1], &size) ||
        !addon_uint32(env, args[2], &mode) || !addon_uint32(env, args[6], &uid) ||
        !addon_uint32(env, args[7], &gid))
        return NULL;
    for (size_t i = 0; i < 3; i++) {
        bool set = false;
        if (napi_get_value_bool(env, args[3 + i], &set) != napi_ok)
            return addon_throw_type(env, "argument is not a boolean");
        if (set) wanted |= attributes[i];
    }
    struct mount_job *job = mount_job_new(env, args[0], tmpfs_run);
    if (job == NULL) return NULL;
    job->attributes = wanted;
    snprintf(job->options[0], sizeof job->options[0], "%lld", (long long)size);
    snprintf(job->options[1], sizeof job->options[1], "%o", mode);
    snprintf(job->options[2], sizeof job->options[2], "%u", uid);
    snprintf(job->options[3], sizeof job->options[3], "%u", gid);
    return job_start(env, &job->job);
}

static void bind_run(struct job *base) {
    struct mount_job *job = (struct mount_job *)base;
    int source = open(job->source, O_PATH | O_CLOEXEC);
    if (source < 0) return job_fail(base, "open", job->source);
    int target = open(job->target, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0)
        job_fail(base, "open", job->target);
    else if (mount_bind(source, target) != 0)
        job_fail(base, "move_mount", job->target);
    if (target >= 0) close(target);
    close(source);
}

/* mountBind(source, target) → Promise<void> */
static napi_value mount_bind_path(napi_env env, napi_callback_info info) {
    napi_value args[2];
    if (!addon_args(env, info, 2, args)) return NULL;
    struct mount_job *job = mount_job_new(env, args[1], bind_run);
    if (job == NULL) return NULL;
    if ((job->source = addon_string(env, args[0])) != NULL) return job_start(env, &job->job);
    mount_release(&job->job);
    return NULL;
}

static void unmount_run(struct job *base) {
    struct mount_job *job = (struct mount_job *)base;
    if (mount_detach(AT_FDCWD, job->target) != 0) job_fail(base, "umount2", job->target);
}

/* unmount(target) → Promise<void>; detaches all that is mounted there. */
static napi_value mount_unmount(napi_env env, napi_callback_info info) {
    napi_value args[1];
    if (!addon_args(env, info, 1, args)) return NULL;
    struct mount_job *job = mount_job_new(env, args[0], unmount_run);
    return job == NULL ? NULL : job_start(env, &job->job);
}

/* isMountPoint(path) → boolean; a final symlink is not followed, and a missing path is none. */
static napi_value mount_is_point(napi_env env, napi_callback_info info) {
    napi_value args[1], value = NULL;
    if (!addon_args(env, info, 1, args)) return NULL;
    char *path = addon_string(env, args[0]);
    if (path == NULL) return NULL;
    struct statx status = {0};
    bool missing = false;
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &status) != 0) {
        missing = errno == ENOENT || errno == ENOTDIR;
        if (!missing)
            addon_throw_errno(env, errno, "statx", path);
        else
            status.stx_attributes = 0;
    }
    if (missing || status.stx_mask != 0)
        napi_get_boolean(env, (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0, &value);
    free(path);
    return value;
}

void addon_mount_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"mountTmpfs", mount_tmpfs},
                                                      {"mountBind", mount_bind_path},
                                                      {"unmount", mount_unmount},
                                                      {"isMountPoint", mount_is_point}};
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
