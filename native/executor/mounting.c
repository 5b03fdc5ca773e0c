/* Mounts by file descriptor. See mounting.h. */
#define _GNU_SOURCE
#include "mounting.h"
#include "procfs.h"
#include <errno.h>
#include <string.h>
#include <sys/statfs.h>

#define PROPAGATIONS (MS_PRIVATE | MS_SLAVE | MS_SHARED | MS_UNBINDABLE)

/* mount_setattr(2), or ENOSYS where the kernel or the test says so. */
static int set_attributes(struct plan_context *context, int tree, uint64_t set, uint64_t clear,
                          uint64_t propagation, bool recursive) {
    struct call_mount_attr attr = {
        .attr_set = set, .attr_clr = clear, .propagation = propagation & PROPAGATIONS};
    if (attr.attr_set == 0 && attr.attr_clr == 0 && attr.propagation == 0) return 0;
    if (context->old_kernel) {
        errno = ENOSYS;
        return -1;
    }
    int result = call_mount_setattr(tree, recursive ? AT_RECURSIVE : 0, &attr);
    if (result < 0 && errno == ENOSYS) context->old_kernel = true;
    return result;
}

static int set_all(struct plan_context *context, int tree, const struct mount_change *change) {
    bool recursive = (change->propagation & MS_REC) != 0;
    if (set_attributes(context, tree, 0, 0, change->propagation, recursive) < 0) return -1;
    if (set_attributes(context, tree, change->recursive_set, change->recursive_clear, 0, true) < 0) return -1;
    return set_attributes(context, tree, change->set, change->clear, 0, false);
}

/* The flags of mount(2) for attributes; statfs(2) reports the same bits, except for relatime. */
static unsigned long classic_flags(uint64_t set) {
    unsigned long flags = 0;
    if (set & MOUNT_ATTR_RDONLY) flags |= MS_RDONLY;
    if (set & MOUNT_ATTR_NOSUID) flags |= MS_NOSUID;
    if (set & MOUNT_ATTR_NODEV) flags |= MS_NODEV;
    if (set & MOUNT_ATTR_NOEXEC) flags |= MS_NOEXEC;
    if (set & MOUNT_ATTR_NODIRATIME) flags |= MS_NODIRATIME;
    if (set & MOUNT_ATTR_NOATIME) flags |= MS_NOATIME;
    if (set & MOUNT_ATTR_STRICTATIME) flags |= MS_STRICTATIME;
    return flags;
}

/* The older way, on an attached mount. Recursive attributes have none. */
static int set_classic(struct plan_context *context, int tree, const struct mount_change *change) {
    if (change->recursive_set != 0 || change->recursive_clear != 0) {
        errno = ENOSYS;
        return -1;
    }
    char name[PROC_FD_NAME];
    procfs_fd_name(tree, name);
    int proc = procfs_root(context);
    if (proc < 0 || fchdir(proc) < 0) return -1;
    unsigned long propagation = (unsigned long)change->propagation;
    if (propagation != 0 && mount(NULL, name, NULL, propagation, NULL) < 0) return -1;
    if (change->set == 0 && change->clear == 0) return 0;
    struct statfs status;
    if (fstatfs(tree, &status) < 0) return -1;
    unsigned long kept = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME;
    unsigned long flags = (unsigned long)status.f_flags & kept;
    flags &= ~classic_flags(change->clear & ~(uint64_t)MOUNT_ATTR__ATIME);
    if (change->clear & MOUNT_ATTR__ATIME) flags &= ~(unsigned long)MS_NOATIME;
    flags |= classic_flags(change->set);
    return mount(NULL, name, NULL, MS_REMOUNT | MS_BIND | flags, NULL);
}

int mounting_change(struct plan_context *context, int tree, const struct mount_change *change,
                    const char *path) {
    if (set_all(context, tree, change) == 0) return 0;
    if (errno != ENOSYS) return plan_fail(context, "mount_setattr", path);
    return set_classic(context, tree, change) == 0 ? 0 : plan_fail(context, "mount", path);
}

int mounting_attach(struct plan_context *context, int tree, int place, const struct mount_change *change,
                    const char *path) {
    bool later = false;
    if (set_all(context, tree, change) < 0) {
        if (errno != ENOSYS) return plan_fail(context, "mount_setattr", path);
        later = true;
    }
    if (call_move_mount(tree, place, "") < 0) return plan_fail(context, "move_mount", path);
    if (later && set_classic(context, tree, change) < 0) return plan_fail(context, "mount", path);
    return 0;
}

int mounting_prepare(struct plan_context *context, int tree, const struct mount_change *change,
                     const char *path) {
    return set_all(context, tree, change) < 0 ? plan_fail(context, "mount_setattr", path) : 0;
}

int mounting_map_ids(struct plan_context *context, int tree, uint32_t id_map, bool recursive,
                     const char *path) {
    if (id_map == 0) return 0;
    if (id_map > context->id_map_count) return plan_malformed(context);
    struct call_mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP,
                                   .userns_fd = (uint64_t)context->id_maps[id_map - 1]};
    if (context->old_kernel) return plan_fail_with(context, ENOSYS, "mount_setattr idmap", path);
    if (call_mount_setattr(tree, recursive ? AT_RECURSIVE : 0, &attr) < 0)
        return plan_fail(context, "mount_setattr idmap", path);
    return 0;
}

int mounting_clone(struct plan_context *context, const char *source, bool recursive) {
    PLAN_FD found = call_openat2(AT_FDCWD, source, O_PATH, 0, RESOLVE_NO_SYMLINKS);
    if (found < 0) return plan_fail(context, "openat2", source);
    unsigned int all = recursive ? AT_RECURSIVE : 0;
    int tree = call_open_tree(found, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | all);
    return tree < 0 ? plan_fail(context, "open_tree", source) : tree;
}

int mounting_parameter(int fs, const char *parameter) {
    const char *equals = strchr(parameter, '=');
    if (equals == NULL) return call_fsconfig(fs, FSCONFIG_SET_FLAG, parameter, NULL);
    char key[64];
    size_t length = (size_t)(equals - parameter);
    if (length >= sizeof(key)) {
        errno = EINVAL;
        return -1;
    }
    memcpy(key, parameter, length);
    key[length] = 0;
    return call_fsconfig(fs, FSCONFIG_SET_STRING, key, equals + 1);
}

int mounting_fail(struct plan_context *context, int fs, const char *syscall_name, const char *path) {
    int error = errno;
    char text[sizeof(context->failure->path)];
    size_t used = strnlen(path, sizeof(text) / 2);
    memcpy(text, path, used);
    /* A message is a letter for its severity, a space and the text, without a NUL. */
    ssize_t got = read(fs, text + used, sizeof(text) - 1 - used);
    if (got > 2) {
        text[used] = ':';
        text[used + 1] = ' ';
        used += (size_t)got;
        if (text[used - 1] == '\n') used--;
    }
    text[used] = 0;
    return plan_fail_with(context, error, syscall_name, text);
}

int mounting_filesystem(struct plan_context *context, const char *type, const char *source,
                        const char *parameters, uint32_t count, uint64_t attributes, const char *path) {
    PLAN_FD fs = call_fsopen(type);
    if (fs < 0) return plan_fail(context, "fsopen", type);
    if (source[0] != 0 && call_fsconfig(fs, FSCONFIG_SET_STRING, "source", source) < 0)
        return mounting_fail(context, fs, "fsconfig", path);
    const char *parameter = parameters;
    for (uint32_t i = 0; i < count; i++, parameter = wire_string_after(parameter)) {
        if (mounting_parameter(fs, parameter) < 0) return mounting_fail(context, fs, "fsconfig", path);
    }
    if (call_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
        return mounting_fail(context, fs, "fsconfig", path);
    int tree = call_fsmount(fs, attributes);
    return tree < 0 ? mounting_fail(context, fs, "fsmount", path) : tree;
}

int mounting_reconfigure(struct plan_context *context, int place, const char *parameters, uint32_t count,
                         const char *path) {
    if (count == 0) return 0;
    PLAN_FD fs = call_fspick(place);
    if (fs < 0) return plan_fail(context, "fspick", path);
    const char *parameter = parameters;
    for (uint32_t i = 0; i < count; i++, parameter = wire_string_after(parameter)) {
        if (mounting_parameter(fs, parameter) < 0) return mounting_fail(context, fs, "fsconfig", path);
    }
    if (call_fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL) < 0)
        return mounting_fail(context, fs, "fsconfig", path);
    return 0;
}
