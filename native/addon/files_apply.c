/*
 * Executes batches of file operations below one directory. TypeScript has decided names and order;
 * files_parent.c finds the directory of each, and what is done there follows no link.
 */
#define _GNU_SOURCE
#include "files_tree.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static void times_of(const struct file_op *op, struct timespec times[2]) {
    times[0] = (struct timespec){.tv_sec = (time_t)op->atime, .tv_nsec = (long)op->atime_ns};
    times[1] = (struct timespec){.tv_sec = (time_t)op->mtime, .tv_nsec = (long)op->mtime_ns};
}

/* Calls for each attribute fsetxattr(fd) or, with fd -1, lsetxattr(path). What a filesystem cannot hold is
 * left out. */
static int set_xattrs(struct operation *o, int fd, const char *path) {
    const uint8_t *at = o->xattrs;
    for (uint32_t i = 0, left = o->op.xattrs_length; i < o->op.xattrs_count; i++) {
        uint32_t name_length, value_length;
        if (left < 8) return o->syscall = "decode", EINVAL;
        memcpy(&name_length, at, 4);
        memcpy(&value_length, at + 4, 4);
        if (name_length >= left - 8 || value_length > left - 9 - name_length || at[8 + name_length] != 0)
            return o->syscall = "decode", EINVAL;
        const char *name = (const char *)at + 8;
        const uint8_t *value = at + 9 + name_length;
        int result = fd >= 0 ? fsetxattr(fd, name, value, value_length, 0)
                             : lsetxattr(path, name, value, value_length, 0);
        if (result < 0 && errno != EOPNOTSUPP) return operation_fail(o, "setxattr");
        at = value + value_length;
        left -= 9 + name_length + value_length;
    }
    return 0;
}

static bool owner_differs(const struct files_tree *tree, const struct file_op *op) {
    return tree->always_own || op->uid != tree->uid || op->gid != tree->gid;
}

/* Owner before mode (chown clears setuid), attributes after both (chown clears capabilities), times last. */
static int set_metadata(struct files_tree *tree, struct operation *o, int fd) {
    if (owner_differs(tree, &o->op) && fchown(fd, o->op.uid, o->op.gid) < 0)
        return operation_fail(o, "fchown");
    if (fchmod(fd, o->op.mode & 07777) < 0) return operation_fail(o, "fchmod");
    int error = set_xattrs(o, fd, NULL);
    if (error) return error;
    struct timespec times[2];
    times_of(&o->op, times);
    if (futimens(fd, times) < 0) return operation_fail(o, "futimens");
    return 0;
}

/* The same for a link, device or fifo, by name; it was made a moment ago in a directory that only we reach.
 */
static int set_metadata_at(struct files_tree *tree, struct operation *o, int parent, const char *name,
                           bool chmod) {
    if (owner_differs(tree, &o->op) && fchownat(parent, name, o->op.uid, o->op.gid, AT_SYMLINK_NOFOLLOW) < 0)
        return operation_fail(o, "fchownat");
    if (chmod && fchmodat(parent, name, o->op.mode & 07777, 0) < 0) return operation_fail(o, "fchmodat");
    if (o->op.xattrs_count > 0) {
        char path[64 + NAME_MAX];
        tree_path_below(path, sizeof path, parent, name);
        int error = set_xattrs(o, -1, path);
        if (error) return error;
    }
    struct timespec times[2];
    times_of(&o->op, times);
    if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0) return operation_fail(o, "utimensat");
    return 0;
}

static int op_directory(struct files_tree *tree, struct operation *o) {
    int parent;
    const char *name;
    int error = tree_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    error = tree_make_directory(o, parent, name, 0700);
    if (error != EEXIST) return error;
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return operation_fail(o, "fstatat");
    if (S_ISDIR(st.st_mode)) return 0;
    if (tree_is_whiteout(&st)) return tree_replace_whiteout(o, parent, name, 0700);
    error = tree_displace(tree, o, parent, name);
    return error ? error : tree_make_directory(o, parent, name, 0700);
}

static int op_write(struct files_tree *tree, struct operation *o) {
    if (tree->file < 0) {
        errno = EBADF;
        return operation_fail(o, "write");
    }
    for (size_t done = 0; done < o->op.data_length;) {
        ssize_t n =
            pwrite(tree->file, o->data + done, o->op.data_length - done, (off_t)(o->op.offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return operation_fail(o, "write");
        done += (size_t)n;
    }
    if (!(o->op.flags & FILE_FLAG_CLOSE)) return 0;
    if (o->op.offset + o->op.data_length != o->op.size && ftruncate(tree->file, (off_t)o->op.size) < 0)
        return operation_fail(o, "ftruncate");
    int error = set_metadata(tree, o, tree->file);
    int fd = tree->file;
    tree->file = -1;
    if (close(fd) < 0 && !error) return operation_fail(o, "close");
    return error;
}

static int op_file(struct files_tree *tree, struct operation *o) {
    int parent;
    const char *name;
    int error = tree_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    if (tree->file >= 0) close(tree->file);
    tree->file = openat(parent, name, flags, 0600);
    if (tree->file < 0 && errno == EEXIST) {
        error = tree_displace(tree, o, parent, name);
        if (error) return error;
        tree->file = openat(parent, name, flags, 0600);
    }
    if (tree->file < 0) return operation_fail(o, "openat");
    return op_write(tree, o);
}

static int op_symlink(struct files_tree *tree, struct operation *o) {
    int parent;
    const char *name;
    int error = tree_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    int result = symlinkat(o->link, parent, name);
    if (result < 0 && errno == EEXIST) {
        error = tree_displace(tree, o, parent, name);
        if (error) return error;
        result = symlinkat(o->link, parent, name);
    }
    if (result < 0) return operation_fail(o, "symlinkat");
    return set_metadata_at(tree, o, parent, name, false);
}

static int op_node(struct files_tree *tree, struct operation *o) {
    int parent;
    const char *name;
    int error = tree_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    dev_t device = makedev(o->op.major, o->op.minor);
    int result = mknodat(parent, name, o->op.mode, device);
    if (result < 0 && errno == EEXIST) {
        error = tree_displace(tree, o, parent, name);
        if (error) return error;
        result = mknodat(parent, name, o->op.mode, device);
    }
    if (result < 0) return operation_fail(o, "mknodat");
    return set_metadata_at(tree, o, parent, name, true);
}

/* No metadata: that of a hard link is the target's, and a link may be to a symbolic link (CVE-2021-32760). */
static int op_hardlink(struct files_tree *tree, struct operation *o) {
    int parent, target_parent;
    const char *name, *target;
    int error = tree_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    error = tree_parent(tree, o, o->link, false, &target_parent, &target);
    if (error) return error;
    if (linkat(target_parent, target, parent, name, 0) == 0) return 0;
    if (errno != EEXIST) return operation_fail(o, "linkat");
    struct stat old, new;
    if (fstatat(target_parent, target, &new, AT_SYMLINK_NOFOLLOW) < 0 ||
        fstatat(parent, name, &old, AT_SYMLINK_NOFOLLOW) < 0)
        return operation_fail(o, "fstatat");
    if (old.st_ino == new.st_ino && old.st_dev == new.st_dev) return 0;
    if (S_ISDIR(new.st_mode)) {
        errno = EPERM;
        return operation_fail(o, "linkat");
    }
    error = tree_displace(tree, o, parent, name);
    if (error) return error;
    if (linkat(target_parent, target, parent, name, 0) < 0) return operation_fail(o, "linkat");
    return 0;
}

/* A whiteout speaks of the layers below: what this layer has itself of that name stays. */
static int op_whiteout(struct files_tree *tree, struct operation *o) {
    int parent;
    const char *name;
    int error = tree_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    if (mknodat(parent, name, S_IFCHR, 0) == 0) return 0;
    if (errno != EEXIST) return operation_fail(o, "mknodat");
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return operation_fail(o, "fstatat");
    return S_ISDIR(st.st_mode) ? tree_set_opaque(o, parent, name) : 0;
}

/* The mark is about the directory that its own parent leads to, through links as for any other entry. */
static int op_opaque(struct files_tree *tree, struct operation *o) {
    char inside[PATH_MAX + 2];
    snprintf(inside, sizeof inside, "%s/.", o->path);
    int directory;
    const char *name;
    int error = tree_parent(tree, o, o->path[0] ? inside : ".", true, &directory, &name);
    return error ? error : tree_set_opaque(o, directory, name);
}

static int op_directory_metadata(struct files_tree *tree, struct operation *o) {
    int parent = tree->root;
    const char *name = ".";
    int error = o->path[0] ? tree_parent(tree, o, o->path, false, &parent, &name) : 0;
    int fd = error ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (!error && fd < 0) error = operation_fail(o, "openat");
    if (error) return error == ENOENT || error == ENOTDIR || error == ELOOP ? 0 : error;
    tree->always_own = true;
    error = set_metadata(tree, o, fd);
    close(fd);
    return error;
}

static int execute(struct files_tree *tree, struct operation *o) {
    switch (o->op.operation) {
    case FILE_OP_DIRECTORY:
        return op_directory(tree, o);
    case FILE_OP_FILE:
        return op_file(tree, o);
    case FILE_OP_WRITE:
        return op_write(tree, o);
    case FILE_OP_SYMLINK:
        return op_symlink(tree, o);
    case FILE_OP_HARDLINK:
        return op_hardlink(tree, o);
    case FILE_OP_NODE:
        return op_node(tree, o);
    case FILE_OP_WHITEOUT:
        return op_whiteout(tree, o);
    case FILE_OP_OPAQUE:
        return op_opaque(tree, o);
    case FILE_OP_DIRECTORY_METADATA:
        return op_directory_metadata(tree, o);
    default:
        errno = ENOSYS;
        return operation_fail(o, "decode");
    }
}

/* Reads one record; false where it does not fit its own lengths. */
static bool decode(const uint8_t *at, size_t left, const uint8_t *data, size_t data_length,
                   struct operation *o) {
    if (left < sizeof o->op) return false;
    memcpy(&o->op, at, sizeof o->op);
    const struct file_op *op = &o->op;
    if (op->length > left || op->length % 8 != 0 || op->length < sizeof *op) return false;
    uint64_t needed = sizeof *op + (uint64_t)op->path_length + 1 + op->link_length + 1 + op->xattrs_length;
    if (needed > op->length || op->path_length >= PATH_MAX || op->link_length >= PATH_MAX) return false;
    o->path = (const char *)at + sizeof *op;
    o->link = o->path + op->path_length + 1;
    o->xattrs = (const uint8_t *)o->link + op->link_length + 1;
    if (strnlen(o->path, op->path_length + 1u) != op->path_length) return false;
    if (strnlen(o->link, op->link_length + 1u) != op->link_length) return false;
    if ((uint64_t)op->data_offset + op->data_length > data_length) return false;
    o->data = data + op->data_offset;
    return true;
}

int files_tree_apply(struct files_tree *tree, const uint8_t *ops, size_t ops_length, const uint8_t *data,
                     size_t data_length, uint32_t *failed, const char **syscall) {
    uint32_t index = 0;
    for (size_t at = 0; at < ops_length; index++) {
        struct operation o = {.syscall = "decode"};
        int error = EINVAL;
        if (decode(ops + at, ops_length - at, data, data_length, &o)) {
            tree_refresh(tree);
            error = execute(tree, &o);
        }
        if (error) {
            *failed = index;
            *syscall = o.syscall;
            return error;
        }
        at += o.op.length;
    }
    return 0;
}
