/* Operations on mounts inside the root filesystem: new ones, binds, masked and read-only paths. */
#define _GNU_SOURCE
#include "copy_up.h"
#include "mounting.h"
#include "operations.h"
#include "resolve.h"
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

/*
 * The place of a mount. A filesystem that others rely on to be where it says it is (procfs, sysfs) must not
 * be reached through a link that the image has put there (CVE-2019-19921, CVE-2023-28642).
 */
static int mount_place(struct plan_context *context, const char *target, bool plain) {
    int place = root_make(context, target, true);
    if (place < 0) return plan_fail(context, "openat2", target);
    if (!plain) return place;
    int same = root_open(context, target, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    int error = errno;
    close(place);
    return same < 0 ? plan_fail_with(context, error, "openat2", target) : same;
}

static bool is_procfs(int fd) {
    struct statfs filesystem;
    return fstatfs(fd, &filesystem) == 0 && filesystem.f_type == PROC_SUPER_MAGIC;
}

/*
 * What covers a part of procfs, wherever links of the image lead, or stands for all of it, could feign
 * anything (CVE-2019-16884).
 */
static bool feigns_procfs(int place, const char *target) {
    return is_procfs(place) || strcmp(target, "/proc") == 0;
}

int op_mount(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(mount, op);
    PLAN_STRING(type, op.type);
    PLAN_STRING(source, op.source);
    PLAN_STRING(target, op.target);
    PLAN_STRINGS(parameters, op.parameters);
    PLAN_FD place = mount_place(context, target, op.flags & PLAN_MOUNT_PLAIN_TARGET);
    if (place < 0) return -1;
    if (strcmp(type, "proc") != 0 && feigns_procfs(place, target))
        return plan_fail_with(context, EPERM, "mount on procfs", target);
    uint32_t count = op.parameters.count;
    /* What is read-only from the start could not be filled. */
    bool filled = (op.flags & PLAN_MOUNT_COPY_UP) != 0;
    uint64_t later = filled ? op.attributes & MOUNT_ATTR_RDONLY : 0;
    uint64_t attributes = op.attributes & ~later;
    PLAN_FD tree = mounting_filesystem(context, type, source, parameters, count, attributes, target);
    if (tree < 0 || (filled && copy_up(context, place, tree, target) < 0)) return -1;
    struct mount_change change = {.set = later, .propagation = op.propagation};
    return mounting_attach(context, tree, place, &change, target);
}

int mounting_bind_place(struct plan_context *context, int tree, const char *target, uint32_t flags) {
    struct stat status;
    if (fstat(tree, &status) < 0) return plan_fail(context, "fstat", target);
    int place = root_make(context, target, S_ISDIR(status.st_mode));
    if (place < 0) return plan_fail(context, "openat2", target);
    bool whole = strcmp(target, "/proc") == 0 && is_procfs(tree);
    if (whole || flags & PLAN_BIND_ON_PROCFS || !feigns_procfs(place, target)) return place;
    close(place);
    return plan_fail_with(context, EPERM, "mount on procfs", target);
}

int op_keep_source(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(keep_source, op);
    PLAN_STRING(source, op.source);
    int tree = mounting_clone(context, source, op.flags & PLAN_BIND_RECURSIVE);
    return tree < 0 ? -1 : mounting_keep(context, tree, op.number);
}

int op_bind(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(bind, op);
    PLAN_STRING(source, op.source);
    PLAN_STRING(target, op.target);
    PLAN_FD tree = op.number != 0 ? mounting_take(context, op.number)
                                  : mounting_clone(context, source, op.flags & PLAN_BIND_RECURSIVE);
    if (tree < 0) return -1;
    PLAN_FD place = mounting_bind_place(context, tree, target, op.flags);
    if (place < 0) return -1;
    struct mount_change change = {.set = op.set,
                                  .clear = op.clear,
                                  .recursive_set = op.recursive_set,
                                  .recursive_clear = op.recursive_clear,
                                  .propagation = op.propagation};
    return mounting_attach(context, tree, place, &change, target);
}

int op_remount(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(remount, op);
    PLAN_STRING(target, op.target);
    PLAN_STRINGS(parameters, op.parameters);
    PLAN_FD place = root_open(context, target, O_PATH, 0);
    if (place < 0) return plan_fail(context, "openat2", target);
    struct mount_change change = {.set = op.set,
                                  .clear = op.clear,
                                  .recursive_set = op.recursive_set,
                                  .recursive_clear = op.recursive_clear,
                                  .propagation = op.propagation};
    if (mounting_change(context, place, &change, target) < 0) return -1;
    return mounting_reconfigure(context, place, parameters, op.parameters.count, target);
}

/* A path of the kernel's that this kernel does not have. */
static bool is_missing(void) {
    return errno == ENOENT || errno == ENOTDIR;
}

int op_readonly_path(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(readonly_path, op);
    PLAN_STRING(path, op.path);
    PLAN_FD place = root_open(context, path, O_PATH, 0);
    if (place < 0) return is_missing() ? 0 : plan_fail(context, "openat2", path);
    PLAN_FD tree = call_open_tree(place, "", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH);
    if (tree < 0) return plan_fail(context, "open_tree", path);
    struct mount_change change = {.set = MOUNT_ATTR_RDONLY};
    return mounting_attach(context, tree, place, &change, path);
}

/* The container's /dev/null, if it is the null device and no link to something else (CVE-2025-31133). */
static int null_device(struct plan_context *context) {
    if (context->null >= 0) return context->null;
    int fd = root_open(context, "/dev/null", O_PATH, RESOLVE_NO_SYMLINKS);
    if (fd < 0) return plan_fail(context, "openat2", "/dev/null");
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3))
        return context->null = fd;
    close(fd);
    return plan_fail_with(context, ENODEV, "fstat", "/dev/null");
}

/* Covers a directory with an empty one. The first is a mount of its own, the others are clones of it. */
static int mask_directory(struct plan_context *context, int place, const char *path) {
    struct mount_change change = {0};
    if (context->empty >= 0) {
        PLAN_FD clone = call_open_tree(context->empty, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
        if (clone < 0) return plan_fail(context, "open_tree", path);
        return mounting_attach(context, clone, place, &change, path);
    }
    const uint64_t attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    int tree =
        mounting_filesystem(context, "tmpfs", "tmpfs", "nr_blocks=1\0nr_inodes=1", 2, attributes, path);
    if (tree < 0) return -1;
    context->empty = tree;
    return mounting_attach(context, tree, place, &change, path);
}

int op_mask_path(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(mask_path, op);
    PLAN_STRING(path, op.path);
    PLAN_FD place = root_open(context, path, O_PATH, 0);
    if (place < 0) return is_missing() ? 0 : plan_fail(context, "openat2", path);
    struct stat status;
    if (fstat(place, &status) < 0) return plan_fail(context, "fstat", path);
    if (S_ISDIR(status.st_mode)) return mask_directory(context, place, path);
    int null = null_device(context);
    if (null < 0) return -1;
    PLAN_FD tree = call_open_tree(null, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    if (tree < 0) return plan_fail(context, "open_tree", path);
    struct mount_change change = {0};
    return mounting_attach(context, tree, place, &change, path);
}
