/*
 * What the file part of the addon consists of: applying batches of operations below a directory
 * (files_apply.c), walking trees of any depth with few descriptors (files_walk.c), and what walks: disk
 * usage, removal and copying. Functions return 0 or an errno, with the system call's name in *syscall.
 */
#ifndef GANTRY_FILES_H
#define GANTRY_FILES_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct files_tree;

/* ---- files_apply.c */

/* The directory that becomes the root of all paths. NULL with errno set. */
struct files_tree *files_tree_open(const char *directory);
void files_tree_close(struct files_tree *tree);
/*
 * Executes the records of `ops`; content is taken from `data`. On failure *failed is the index of the record,
 * and what came before it is done.
 */
int files_tree_apply(struct files_tree *tree, const uint8_t *ops, size_t ops_length, const uint8_t *data,
                     size_t data_length, uint32_t *failed, const char **syscall);

/* openat2 within `root`, repeated where the kernel asks for it. -1 with errno set. */
int files_open_within(int root, const char *path, uint64_t flags, uint64_t resolve);

/* ---- files_walk.c */

/*
 * A stack of open directories. Only the outer levels and the innermost one hold a descriptor; the others are
 * opened again through ".." and checked to be the same directory, so depth costs memory only.
 */
struct walk_level {
    DIR *dir;
    int peer; /* a directory of another tree that is walked along; -1 for none */
    long position;
    dev_t dev, peer_dev;
    ino_t ino, peer_ino;
    char *name; /* within the level above */
};

struct walk {
    struct walk_level *levels;
    size_t depth, capacity;
};

/* Enters a directory; consumes both descriptors, also on failure. */
int walk_push(struct walk *walk, int directory, int peer, const char *name, const char **syscall);
/* Leaves the innermost directory; its name, to be freed, is in *name. ESTALE when the tree changed meanwhile.
 */
int walk_pop(struct walk *walk, char **name, const char **syscall);
static inline struct walk_level *walk_top(struct walk *walk) {
    return &walk->levels[walk->depth - 1];
}
/* The next name of the innermost directory without . and ..; NULL at its end. */
struct dirent *walk_next(struct walk *walk);
/* Closes everything. */
void walk_end(struct walk *walk);

/* Disk usage of a tree in bytes (blocks × 512) and inodes, a hard link counted once, on one filesystem. */
int files_usage(const char *directory, uint64_t *bytes, uint64_t *inodes, const char **syscall);
/* Deletes a file or a whole tree. No error where there is none. Goes on after a failure and reports the
 * first. */
int files_remove(int directory, const char *name, const char **syscall);

/* ---- files_copy.c */

/*
 * Copies the content of one directory, and its own metadata, into another: types, modes, owners, times,
 * extended attributes, holes and hard links are kept, data is shared where the filesystem can. `scratch` is
 * an empty directory on the same filesystem as the destination, used to find hard links again. With
 * `whiteouts`, `.wh.` files of the source delete from the destination, as the OCI image specification has it.
 */
int files_copy(const char *source, const char *destination, const char *scratch, bool whiteouts,
               const char **syscall);

#endif
