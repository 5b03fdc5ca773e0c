/* Operations that mount the root filesystem and make it the root directory. */
#define _GNU_SOURCE
#include "mounting.h"
#include "operations.h"
#include "overlay.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int op_current_root(struct plan_context *context, const struct wire_record *record) {
    (void)record;
    context->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return context->root < 0 ? plan_fail(context, "open", "/") : 0;
}

int op_propagation(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(propagation, op);
    PLAN_STRING(target, op.target);
    if (mount(NULL, target, NULL, (unsigned long)op.flags, NULL) < 0)
        return plan_fail(context, "mount", target);
    return 0;
}

/* Upwards from the directory as long as it is the same mount: only its root can be changed. */
int op_private_mount(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(private_mount, op);
    PLAN_STRING(path, op.path);
    PLAN_FD directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return plan_fail(context, "open", path);
    struct stat here, above;
    if (fstat(directory, &here) < 0) return plan_fail(context, "fstat", path);
    for (;;) {
        int up = call_openat2(directory, "..", O_PATH | O_DIRECTORY, 0, RESOLVE_NO_XDEV);
        if (up < 0 && errno == EXDEV) break;
        if (up < 0 || fstat(up, &above) < 0) return plan_fail(context, "openat2", path);
        close(directory);
        directory = up;
        if (above.st_dev == here.st_dev && above.st_ino == here.st_ino) break; /* the root directory */
        here = above;
    }
    struct mount_change change = {.propagation = MS_PRIVATE};
    return mounting_change(context, directory, &change, path);
}

/*
 * Attaches the root filesystem. Without a target it lies over the old root directory, where only descriptors
 * reach it: no directory of the host is needed for it.
 */
static int attach_root(struct plan_context *context, int tree, const char *target) {
    const char *place = target[0] == 0 ? "/" : target;
    if (call_move_mount(tree, AT_FDCWD, place) < 0) return plan_fail(context, "move_mount", place);
    context->root = tree;
    return 0;
}

int op_root_overlay(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(root_overlay, op);
    PLAN_STRINGS(lower, op.lower);
    PLAN_STRINGS(options, op.options);
    PLAN_STRING(upper, op.upper);
    PLAN_STRING(work, op.work);
    PLAN_STRING(target, op.target);
    PLAN_STRING(base, op.classic_base);
    PLAN_STRING(data, op.classic_data);
    const struct overlay_request request = {
        .lower = lower,
        .lower_count = op.lower.count,
        .options = options,
        .option_count = op.options.count,
        .upper = upper,
        .work = work,
        .classic = (op.flags & PLAN_ROOT_CLASSIC) != 0,
        .detached = (op.flags & PLAN_ROOT_DETACHED) != 0,
        .uid = op.uid,
        .gid = op.gid,
        .base = base,
        .data = data,
    };
    int tree = overlay_mount(context, &request, target);
    if (tree < 0) return -1;
    context->root = tree;
    return 0;
}

int op_root_attach(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(root_attach, op);
    PLAN_STRING(target, op.target);
    return attach_root(context, context->root, target);
}

int op_root_bind(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(root_bind, op);
    PLAN_STRING(source, op.source);
    PLAN_STRING(target, op.target);
    int tree = call_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | AT_RECURSIVE);
    if (tree < 0) return plan_fail(context, "open_tree", source);
    struct mount_change change = {.propagation = MS_REC};
    change.propagation |= op.flags & PLAN_ROOT_SLAVE ? MS_SLAVE : MS_PRIVATE;
    if (mounting_map_ids(context, tree, op.id_map, false, source) < 0) return -1;
    if (op.flags & PLAN_ROOT_DETACHED) {
        context->root = tree;
        return mounting_prepare(context, tree, &change, source);
    }
    if (attach_root(context, tree, target) < 0) return -1;
    return mounting_change(context, tree, &change, source);
}

int op_pivot(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(pivot, op);
    PLAN_FD old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old < 0) return plan_fail(context, "open", "/");
    if (fchdir(context->root) < 0) return plan_fail(context, "fchdir", NULL);
    if (op.flags & PLAN_PIVOT_CHROOT) {
        if (chroot(".") < 0) return plan_fail(context, "chroot", NULL);
    } else {
        if (syscall(SYS_pivot_root, ".", ".") < 0) return plan_fail(context, "pivot_root", NULL);
        /*
         * The old root lies on top of the new one now, but "." is still the new one. The unmounting of the
         * old one must not reach the host's mounts; the new one's own mounts stay the peers that they are.
         */
        if (fchdir(old) < 0) return plan_fail(context, "fchdir", "old root");
        if (op.flags & PLAN_PIVOT_DETACH_SHARED && mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0)
            return plan_fail(context, "mount", "old root");
        if (umount2(".", MNT_DETACH) < 0) return plan_fail(context, "umount2", "old root");
    }
    return chdir("/") < 0 ? plan_fail(context, "chdir", "/") : 0;
}

int op_root_attributes(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(root_attributes, op);
    struct mount_change change = {.set = op.set};
    if (op.set != 0 && mounting_change(context, context->root, &change, "/") < 0) return -1;
    if (op.propagation != 0 && mount(NULL, "/", NULL, (unsigned long)op.propagation, NULL) < 0)
        return plan_fail(context, "mount", "/");
    return 0;
}
