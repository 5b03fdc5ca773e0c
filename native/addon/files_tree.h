/*
 * Inside of files_apply.c (what the operations do) and files_parent.c (where they do it). See files.h.
 */
#ifndef GANTRY_FILES_TREE_H
#define GANTRY_FILES_TREE_H

#include "files.h"
#include "files_format_generated.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/types.h>

#define CACHED_PARENTS 16

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

/* Notes the system call; returns errno. */
static inline int operation_fail(struct operation *o, const char *syscall) {
    o->syscall = syscall;
    return errno;
}

/* ---- files_parent.c; 0 or an errno, with o->syscall set */

/* To be called before each operation: lets go of what a removal has made wrong. */
void tree_refresh(struct files_tree *tree);
/*
 * The directory of `path`, a descriptor that the tree owns, and the last component. With `create`, missing
 * directories are made.
 */
int tree_parent(struct files_tree *tree, struct operation *o, const char *path, bool create, int *fd,
                const char **name);
/* Removes what a later entry of another type replaces. */
int tree_displace(struct files_tree *tree, struct operation *o, int parent, const char *name);
/* EEXIST where something stands there already. */
int tree_make_directory(struct operation *o, int parent, const char *name, mode_t mode);
/* Where a whiteout stands, what is below is deleted first: the directory is opaque. */
int tree_replace_whiteout(struct operation *o, int parent, const char *name, mode_t mode);
int tree_set_opaque(struct operation *o, int directory, const char *name);
bool tree_is_whiteout(const struct stat *st);
/* Extended attributes of what cannot be opened for that go by a path through our own descriptor. */
void tree_path_below(char *out, size_t size, int directory, const char *name);

#endif
