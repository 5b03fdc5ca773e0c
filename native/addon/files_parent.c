/*
 * Where file operations take place: each parent directory is resolved once with openat2 inside the root and
 * kept open while it is in use; the few most recently used cost no path walk. The last component is always
 * handled without following links, so no name and no link in the tree leads out of it (CVE-2021-32760,
 * CVE-2025-47290).
 */
#define _GNU_SOURCE
#include "files_tree.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MAX_LINKS 40
#define MAX_RETRIES 128
#define OPAQUE_XATTR "trusted.overlay.opaque"
#define RESOLVE_TREE (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

int files_open_within(int root, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    for (int i = 0;; i++) {
        long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN || i == MAX_RETRIES) return (int)fd;
    }
}

static void forget(struct files_tree *tree) {
    for (size_t i = 0; i < CACHED_PARENTS; i++) {
        struct cached_parent *parent = &tree->parents[i];
        if (parent->path) close(parent->fd);
        free(parent->path);
        *parent = (struct cached_parent){.fd = -1};
    }
}

void tree_refresh(struct files_tree *tree) {
    if (tree->stale) forget(tree);
    tree->stale = false;
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
    forget(tree);
    if (tree->file >= 0) close(tree->file);
    close(tree->root);
    free(tree);
}

bool tree_is_whiteout(const struct stat *st) {
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

void tree_path_below(char *out, size_t size, int directory, const char *name) {
    snprintf(out, size, "/proc/self/fd/%d/%s", directory, name);
}

int tree_set_opaque(struct operation *o, int directory, const char *name) {
    char path[64 + NAME_MAX];
    tree_path_below(path, sizeof path, directory, name);
    if (lsetxattr(path, OPAQUE_XATTR, "y", 1, 0) < 0) return operation_fail(o, "lsetxattr");
    return 0;
}

int tree_displace(struct files_tree *tree, struct operation *o, int parent, const char *name) {
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return operation_fail(o, "fstatat");
    if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) tree->stale = true;
    if (S_ISDIR(st.st_mode)) return files_remove(parent, name, &o->syscall);
    if (unlinkat(parent, name, 0) < 0) return operation_fail(o, "unlinkat");
    return 0;
}

/* A directory that nobody listed, or one whose metadata comes later. */
int tree_make_directory(struct operation *o, int parent, const char *name, mode_t mode) {
    if (mkdirat(parent, name, mode) < 0) return operation_fail(o, "mkdirat");
    if (mode != 0700 && fchmodat(parent, name, mode, 0) < 0) return operation_fail(o, "fchmodat");
    return 0;
}

int tree_replace_whiteout(struct operation *o, int parent, const char *name, mode_t mode) {
    if (unlinkat(parent, name, 0) < 0) return operation_fail(o, "unlinkat");
    int error = tree_make_directory(o, parent, name, mode);
    return error ? error : tree_set_opaque(o, parent, name);
}

/* Puts the target of a symbolic link in place of the component that starts at `at`. */
static int splice_link(struct operation *o, char *path, size_t at, size_t end, int parent, const char *name) {
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
    if (length < 0) return operation_fail(o, "readlinkat");
    target[length] = 0;
    strcpy(rest, path + end);
    if (target[0] == '/') at = 0;
    size_t rest_length = strlen(rest);
    if (at + (size_t)length + rest_length >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return operation_fail(o, "readlinkat");
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
        return operation_fail(o, "mkdirat");
    }
    memcpy(name, path + at, end - at);
    name[end - at] = 0;
    int error = tree_make_directory(o, parent, name, 0755);
    if (error != EEXIST) return error;
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return operation_fail(o, "fstatat");
    if (tree_is_whiteout(&st)) return tree_replace_whiteout(o, parent, name, 0755);
    if (S_ISLNK(st.st_mode)) {
        *again = true;
        return splice_link(o, path, at, end, parent, name);
    }
    errno = ENOTDIR;
    return operation_fail(o, "openat2");
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
            if (fd < 0 && errno != ENOENT && errno != ENOTDIR) error = operation_fail(o, "openat2");
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
        return *out < 0 ? operation_fail(o, "fcntl") : 0;
    }
    errno = ELOOP;
    return operation_fail(o, "openat2");
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
        return operation_fail(o, "strndup");
    }
    if (oldest->path) close(oldest->fd);
    free(oldest->path);
    *oldest = (struct cached_parent){.path = copy, .length = length, .fd = fd, .used = ++tree->clock};
    return 0;
}

int tree_parent(struct files_tree *tree, struct operation *o, const char *path, bool create, int *fd,
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
        int error = operation_fail(o, "openat2");
        if (create && (error == ENOENT || error == ENOTDIR)) error = make_path(tree, o, directory, fd);
        if (error) return error;
    }
    return cache_add(tree, o, path, length, *fd);
}
