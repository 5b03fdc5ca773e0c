/* Operations that make directories, device nodes and links inside the root filesystem. */
#define _GNU_SOURCE
#include "calls.h"
#include "operations.h"
#include "resolve.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int op_make_directory(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(make_directory, op);
    PLAN_STRING(path, op.path);
    PLAN_FD fd = root_make(context, path, true);
    return fd < 0 ? plan_fail(context, "mkdirat", path) : 0;
}

/* A user namespace may not make nodes; it gets the host's, which is the same path on the host. */
static int bind_device(struct plan_context *context, const char *directory, int parent, const char *name) {
    char path[PATH_MAX];
    size_t head = strlen(directory);
    size_t tail = strlen(name);
    if (head + 1 + tail >= sizeof(path)) return plan_fail_with(context, ENAMETOOLONG, "open_tree", name);
    memcpy(path, directory, head);
    path[head] = '/';
    memcpy(path + head + 1, name, tail + 1);
    if (mknodat(parent, name, S_IFREG | 0644, 0) < 0 && errno != EEXIST)
        return plan_fail(context, "mknodat", path);
    PLAN_FD place = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0) return plan_fail(context, "openat", path);
    PLAN_FD tree = call_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);
    if (tree < 0) return plan_fail(context, "open_tree", path);
    return call_move_mount(tree, place, "") < 0 ? plan_fail(context, "move_mount", path) : 0;
}

int op_device(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(device, op);
    PLAN_STRING(directory, op.directory);
    PLAN_STRING(name, op.name);
    int parent = root_directory(context, directory);
    if (parent < 0) return plan_fail(context, "openat2", directory);
    if (op.flags & PLAN_DEVICE_BIND) return bind_device(context, directory, parent, name);
    dev_t number = makedev(op.major, op.minor);
    if (mknodat(parent, name, op.mode, number) < 0) {
        if (errno != EEXIST) return plan_fail(context, "mknodat", name);
        struct stat status;
        if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            return plan_fail(context, "fstatat", name);
        if ((status.st_mode & S_IFMT) != (op.mode & S_IFMT) || status.st_rdev != number)
            return plan_fail_with(context, EEXIST, "mknodat", name);
        return 0;
    }
    if ((op.uid != 0 || op.gid != 0) && fchownat(parent, name, op.uid, op.gid, AT_SYMLINK_NOFOLLOW) < 0)
        return plan_fail(context, "fchownat", name);
    return 0;
}

int op_symlink(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(symlink, op);
    PLAN_STRING(directory, op.directory);
    PLAN_STRING(name, op.name);
    PLAN_STRING(target, op.target);
    int parent = root_directory(context, directory);
    if (parent < 0) return plan_fail(context, "openat2", directory);
    if (symlinkat(target, parent, name) < 0 && errno != EEXIST) return plan_fail(context, "symlinkat", name);
    return 0;
}
