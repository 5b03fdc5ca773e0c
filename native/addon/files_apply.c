/*
 * Executes batches of file operations below one directory. TypeScript has decided names and order; here each
 * parent directory is resolved once with openat2 inside the root, kept open while it is in use, and the last
 * component is always handled without following links. So no name and no link in the tree leads out of it
 * (CVE-2021-32760, CVE-2025-47290). The few parents most recently used stay open: most entries cost no path
 * walk.
 */
#define _GNU_SOURCE
#include "files.h"
#include "files_format_generated.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CACHED_PARENTS 16
#define MAX_LINKS 40
#define MAX_RETRIES 128
#define OPAQUE_XATTR "trusted.overlay.opaque"
#define RESOLVE_TREE (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

struct cached_parent {
    char *path;
    size_t length;
    int fd;
    uint64_t used;
};

struct files_tree {
    int root;
    int file;  /* the one open for writing, or -1 */
    uid_t uid; /* what new files get by themselves */
    gid_t gid;
    bool always_own; /* a directory may hand down its group, so every owner is set */
    bool stale;      /* something a cached path may have led through was removed */
    uint64_t clock;
    struct cached_parent parents[CACHED_PARENTS];
};

struct operation {
    struct file_op op;
    const char *path;
    const char *link;
    const uint8_t *xattrs;
    const uint8_t *data;
    const char *syscall;
};

static int fail(struct operation *o, const char *syscall) {
    o->syscall = syscall;
    return errno;
}

int files_open_within(int root, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    for (int i = 0;; i++) {
        long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN || i == MAX_RETRIES) return (int)fd;
    }
}

static void forget_parents(struct files_tree *tree) {
    for (size_t i = 0; i < CACHED_PARENTS; i++) {
        struct cached_parent *parent = &tree->parents[i];
        if (parent->path) close(parent->fd);
        free(parent->path);
        *parent = (struct cached_parent){.fd = -1};
    }
}

struct files_tree *files_tree_open(const char *directory) {
    struct files_tree *tree = calloc(1, sizeof *tree);
    if (!tree) return NULL;
    tree->file = -1;
    tree->uid = geteuid();
    tree->gid = getegid();
    tree->root = open(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (tree->root < 0 || fstat(tree->root, &st) < 0) {
        int error = errno;
        if (tree->root >= 0) close(tree->root);
        free(tree);
        errno = error;
        return NULL;
    }
    tree->always_own = (st.st_mode & S_ISGID) != 0;
    return tree;
}

void files_tree_close(struct files_tree *tree) {
    forget_parents(tree);
    if (tree->file >= 0) close(tree->file);
    close(tree->root);
    free(tree);
}

static bool is_whiteout(const struct stat *st) {
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* Extended attributes of what cannot be opened for that go by a path through our own descriptor. */
static void name_below(char *out, size_t size, int directory, const char *name) {
    snprintf(out, size, "/proc/self/fd/%d/%s", directory, name);
}

static int set_opaque(struct operation *o, int directory, const char *name) {
    char path[64 + NAME_MAX];
    name_below(path, sizeof path, directory, name);
    if (lsetxattr(path, OPAQUE_XATTR, "y", 1, 0) < 0) return fail(o, "lsetxattr");
    return 0;
}

/* Removes what a later entry of another type replaces. */
static int displace(struct files_tree *tree, struct operation *o, int parent, const char *name) {
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail(o, "fstatat");
    if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) tree->stale = true;
    if (S_ISDIR(st.st_mode)) return files_remove(parent, name, &o->syscall);
    if (unlinkat(parent, name, 0) < 0) return fail(o, "unlinkat");
    return 0;
}

/* A directory that nobody listed, or one whose metadata comes later. */
static int make_directory(struct operation *o, int parent, const char *name, mode_t mode) {
    if (mkdirat(parent, name, mode) < 0) return fail(o, "mkdirat");
    if (mode != 0700 && fchmodat(parent, name, mode, 0) < 0) return fail(o, "fchmodat");
    return 0;
}

/* Where a whiteout stands, what is below is deleted first: the directory is opaque. */
static int replace_whiteout(struct operation *o, int parent, const char *name, mode_t mode) {
    if (unlinkat(parent, name, 0) < 0) return fail(o, "unlinkat");
    int error = make_directory(o, parent, name, mode);
    return error ? error : set_opaque(o, parent, name);
}

/* Puts the target of a symbolic link in place of the component that starts at `at`. */
static int splice_link(struct operation *o, char *path, size_t at, size_t end, int parent, const char *name) {
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
    if (length < 0) return fail(o, "readlinkat");
    target[length] = 0;
    strcpy(rest, path + end);
    if (target[0] == '/') at = 0;
    size_t rest_length = strlen(rest);
    if (at + (size_t)length + rest_length >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return fail(o, "readlinkat");
    }
    memcpy(path + at, target, (size_t)length);
    memcpy(path + at + (size_t)length, rest, rest_length + 1);
    return 0;
}

/* One missing component; *again is set when it was a link and `path` has changed. */
static int make_component(struct operation *o, int parent, char *path, size_t at, size_t end, bool *again) {
    char name[NAME_MAX + 1];
    if (end - at > NAME_MAX) {
        errno = ENAMETOOLONG;
        return fail(o, "mkdirat");
    }
    memcpy(name, path + at, end - at);
    name[end - at] = 0;
    int error = make_directory(o, parent, name, 0755);
    if (error != EEXIST) return error;
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail(o, "fstatat");
    if (is_whiteout(&st)) return replace_whiteout(o, parent, name, 0755);
    if (S_ISLNK(st.st_mode)) {
        *again = true;
        return splice_link(o, path, at, end, parent, name);
    }
    errno = ENOTDIR;
    return fail(o, "openat2");
}

/* Opens a directory of the tree and makes what is missing on the way, also behind links that lead to nothing
 * yet. */
static int make_path(struct files_tree *tree, struct operation *o, const char *wanted, int *out) {
    char path[PATH_MAX];
    strcpy(path, wanted);
    for (int links = 0; links <= MAX_LINKS; links++) {
        bool again = false;
        int parent = tree->root, error = 0;
        for (size_t at = strspn(path, "/"); path[at] && !error && !again;) {
            size_t end = at + strcspn(path + at, "/");
            char kept = path[end];
            path[end] = 0;
            int fd = files_open_within(tree->root, path, O_PATH | O_DIRECTORY, RESOLVE_TREE);
            if (fd < 0 && errno != ENOENT && errno != ENOTDIR) error = fail(o, "openat2");
            path[end] = kept;
            if (fd < 0 && !error) {
                error = make_component(o, parent, path, at, end, &again);
                if (!error && !again) continue;
            }
            if (parent != tree->root) close(parent);
            parent = fd;
            at = end + strspn(path + end, "/");
        }
        if (error || again) {
            if (parent >= 0 && parent != tree->root) close(parent);
            if (error) return error;
            continue;
        }
        *out = parent == tree->root ? fcntl(parent, F_DUPFD_CLOEXEC, 3) : parent;
        return *out < 0 ? fail(o, "fcntl") : 0;
    }
    errno = ELOOP;
    return fail(o, "openat2");
}

static struct cached_parent *cache_find(struct files_tree *tree, const char *path, size_t length) {
    for (size_t i = 0; i < CACHED_PARENTS; i++) {
        struct cached_parent *parent = &tree->parents[i];
        if (parent->path && parent->length == length && memcmp(parent->path, path, length) == 0)
            return parent;
    }
    return NULL;
}

static int cache_add(struct files_tree *tree, struct operation *o, const char *path, size_t length, int fd) {
    struct cached_parent *oldest = &tree->parents[0];
    for (size_t i = 1; i < CACHED_PARENTS; i++)
        if (tree->parents[i].used < oldest->used) oldest = &tree->parents[i];
    char *copy = strndup(path, length);
    if (!copy) {
        close(fd);
        return fail(o, "strndup");
    }
    if (oldest->path) close(oldest->fd);
    free(oldest->path);
    *oldest = (struct cached_parent){.path = copy, .length = length, .fd = fd, .used = ++tree->clock};
    return 0;
}

/* The directory of `path`, a descriptor that the cache owns, and the last component. */
static int find_parent(struct files_tree *tree, struct operation *o, const char *path, bool create, int *fd,
                       const char **name) {
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    *fd = tree->root;
    if (!slash) return 0;
    size_t length = (size_t)(slash - path);
    struct cached_parent *cached = cache_find(tree, path, length);
    if (cached) {
        cached->used = ++tree->clock;
        *fd = cached->fd;
        return 0;
    }
    char directory[PATH_MAX];
    memcpy(directory, path, length);
    directory[length] = 0;
    *fd = files_open_within(tree->root, directory, O_PATH | O_DIRECTORY, RESOLVE_TREE);
    if (*fd < 0) {
        int error = fail(o, "openat2");
        if (create && (error == ENOENT || error == ENOTDIR)) error = make_path(tree, o, directory, fd);
        if (error) return error;
    }
    return cache_add(tree, o, path, length, *fd);
}

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
        if (result < 0 && errno != EOPNOTSUPP) return fail(o, "setxattr");
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
    if (owner_differs(tree, &o->op) && fchown(fd, o->op.uid, o->op.gid) < 0) return fail(o, "fchown");
    if (fchmod(fd, o->op.mode & 07777) < 0) return fail(o, "fchmod");
    int error = set_xattrs(o, fd, NULL);
    if (error) return error;
    struct timespec times[2];
    times_of(&o->op, times);
    if (futimens(fd, times) < 0) return fail(o, "futimens");
    return 0;
}

/* The same for a link, device or fifo, by name; it was made a moment ago in a directory that only we reach.
 */
static int set_metadata_at(struct files_tree *tree, struct operation *o, int parent, const char *name,
                           bool chmod) {
    if (owner_differs(tree, &o->op) && fchownat(parent, name, o->op.uid, o->op.gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(o, "fchownat");
    if (chmod && fchmodat(parent, name, o->op.mode & 07777, 0) < 0) return fail(o, "fchmodat");
    if (o->op.xattrs_count > 0) {
        char path[64 + NAME_MAX];
        name_below(path, sizeof path, parent, name);
        int error = set_xattrs(o, -1, path);
        if (error) return error;
    }
    struct timespec times[2];
    times_of(&o->op, times);
    if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0) return fail(o, "utimensat");
    return 0;
}

static int op_directory(struct files_tree *tree, struct operation *o) {
    int parent;
    const char *name;
    int error = find_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    error = make_directory(o, parent, name, 0700);
    if (error != EEXIST) return error;
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail(o, "fstatat");
    if (S_ISDIR(st.st_mode)) return 0;
    if (is_whiteout(&st)) return replace_whiteout(o, parent, name, 0700);
    error = displace(tree, o, parent, name);
    return error ? error : make_directory(o, parent, name, 0700);
}

static int op_write(struct files_tree *tree, struct operation *o) {
    if (tree->file < 0) {
        errno = EBADF;
        return fail(o, "write");
    }
    for (size_t done = 0; done < o->op.data_length;) {
        ssize_t n =
            pwrite(tree->file, o->data + done, o->op.data_length - done, (off_t)(o->op.offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(o, "write");
        done += (size_t)n;
    }
    if (!(o->op.flags & FILE_FLAG_CLOSE)) return 0;
    if (o->op.offset + o->op.data_length != o->op.size && ftruncate(tree->file, (off_t)o->op.size) < 0)
        return fail(o, "ftruncate");
    int error = set_metadata(tree, o, tree->file);
    int fd = tree->file;
    tree->file = -1;
    if (close(fd) < 0 && !error) return fail(o, "close");
    return error;
}

static int op_file(struct files_tree *tree, struct operation *o) {
    int parent;
    const char *name;
    int error = find_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    if (tree->file >= 0) close(tree->file);
    tree->file = openat(parent, name, flags, 0600);
    if (tree->file < 0 && errno == EEXIST) {
        error = displace(tree, o, parent, name);
        if (error) return error;
        tree->file = openat(parent, name, flags, 0600);
    }
    if (tree->file < 0) return fail(o, "openat");
    return op_write(tree, o);
}

static int op_symlink(struct files_tree *tree, struct operation *o) {
    int parent;
    const char *name;
    int error = find_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    int result = symlinkat(o->link, parent, name);
    if (result < 0 && errno == EEXIST) {
        error = displace(tree, o, parent, name);
        if (error) return error;
        result = symlinkat(o->link, parent, name);
    }
    if (result < 0) return fail(o, "symlinkat");
    return set_metadata_at(tree, o, parent, name, false);
}

static int op_node(struct files_tree *tree, struct operation *o) {
    int parent;
    const char *name;
    int error = find_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    dev_t device = makedev(o->op.major, o->op.minor);
    int result = mknodat(parent, name, o->op.mode, device);
    if (result < 0 && errno == EEXIST) {
        error = displace(tree, o, parent, name);
        if (error) return error;
        result = mknodat(parent, name, o->op.mode, device);
    }
    if (result < 0) return fail(o, "mknodat");
    return set_metadata_at(tree, o, parent, name, true);
}

/* No metadata: that of a hard link is the target's, and a link may be to a symbolic link (CVE-2021-32760). */
static int op_hardlink(struct files_tree *tree, struct operation *o) {
    int parent, target_parent;
    const char *name, *target;
    int error = find_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    error = find_parent(tree, o, o->link, false, &target_parent, &target);
    if (error) return error;
    if (linkat(target_parent, target, parent, name, 0) == 0) return 0;
    if (errno != EEXIST) return fail(o, "linkat");
    struct stat old, new;
    if (fstatat(target_parent, target, &new, AT_SYMLINK_NOFOLLOW) < 0 ||
        fstatat(parent, name, &old, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(o, "fstatat");
    if (old.st_ino == new.st_ino && old.st_dev == new.st_dev) return 0;
    if (S_ISDIR(new.st_mode)) {
        errno = EPERM;
        return fail(o, "linkat");
    }
    error = displace(tree, o, parent, name);
    if (error) return error;
    if (linkat(target_parent, target, parent, name, 0) < 0) return fail(o, "linkat");
    return 0;
}

/* A whiteout speaks of the layers below: what this layer has itself of that name stays. */
static int op_whiteout(struct files_tree *tree, struct operation *o) {
    int parent;
    const char *name;
    int error = find_parent(tree, o, o->path, true, &parent, &name);
    if (error) return error;
    if (mknodat(parent, name, S_IFCHR, 0) == 0) return 0;
    if (errno != EEXIST) return fail(o, "mknodat");
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail(o, "fstatat");
    return S_ISDIR(st.st_mode) ? set_opaque(o, parent, name) : 0;
}

/* The mark is about the directory that its own parent leads to, through links as for any other entry. */
static int op_opaque(struct files_tree *tree, struct operation *o) {
    char inside[PATH_MAX + 2];
    snprintf(inside, sizeof inside, "%s/.", o->path);
    int directory;
    const char *name;
    int error = find_parent(tree, o, o->path[0] ? inside : ".", true, &directory, &name);
    return error ? error : set_opaque(o, directory, name);
}

static int op_directory_metadata(struct files_tree *tree, struct operation *o) {
    int parent = tree->root;
    const char *name = ".";
    int error = o->path[0] ? find_parent(tree, o, o->path, false, &parent, &name) : 0;
    int fd = error ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (!error && fd < 0) error = fail(o, "openat");
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
        return fail(o, "decode");
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
            if (tree->stale) forget_parents(tree);
            tree->stale = false;
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
