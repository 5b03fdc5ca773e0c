/*
 * System calls that the C library has no wrapper for, or not in all the versions that we build with. Each
 * returns what the kernel does, -1 with errno on failure. Nothing but the calls themselves.
 */
#ifndef GANTRY_CALLS_H
#define GANTRY_CALLS_H

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of the C libraries' headers only glibc's has the newer calls, and the kernel's does not go with it. */
#ifndef OPEN_TREE_CLOEXEC
#include <linux/mount.h>
#endif
/* musl 1.2.2 and the kernel's headers before 5.12. */
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

static inline int call_openat2(int directory, const char *path, uint64_t flags, uint64_t mode,
                               uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
}

static inline int call_open_tree(int directory, const char *path, unsigned int flags) {
    return (int)syscall(SYS_open_tree, directory, path, flags | OPEN_TREE_CLOEXEC);
}

static inline int call_move_mount(int from, int to, const char *path) {
    unsigned int flags = MOVE_MOUNT_F_EMPTY_PATH | (path[0] == 0 ? MOVE_MOUNT_T_EMPTY_PATH : 0);
    return (int)syscall(SYS_move_mount, from, "", to, path, flags);
}

static inline int call_fsopen(const char *type) {
    return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static inline int call_fspick(int place) {
    return (int)syscall(SYS_fspick, place, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH | FSPICK_NO_AUTOMOUNT);
}

static inline int call_fsconfig(int fs, unsigned int command, const char *key, const char *value) {
    return (int)syscall(SYS_fsconfig, fs, command, key, value, 0);
}

static inline int call_fsmount(int fs, uint64_t attributes) {
    return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned int)attributes);
}

struct call_mount_attr {
    uint64_t attr_set, attr_clr, propagation, userns_fd;
};

static inline int call_mount_setattr(int fd, unsigned int flags, const struct call_mount_attr *attr) {
    return (int)syscall(SYS_mount_setattr, fd, "", flags | AT_EMPTY_PATH, attr, sizeof(*attr));
}

static inline int call_close_range(unsigned int first, unsigned int last) {
    return first > last ? 0 : (int)syscall(SYS_close_range, first, last, 0);
}

static inline int call_clone3(struct clone_args *args) {
    return (int)syscall(SYS_clone3, args, sizeof(*args));
}

static inline int call_pidfd_open(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

#endif
