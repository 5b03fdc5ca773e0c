/*
 * Walking trees that others may have made as deep and as wide as they like: disk usage and removal. Nothing
 * is resolved by a path of more than one component, and no link is followed. See files.h.
 */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_LEVELS 32
#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define MAX_KNOWN_LINKS (1u << 20)
#define RMDIR_RETRIES 16

static int fail(const char **syscall, const char *name) {
    *syscall = name;
    return errno;
}

static void close_level(struct walk_level *level) {
    if (level->dir) closedir(level->dir);
    if (level->peer >= 0) close(level->peer);
    level->dir = NULL;
    level->peer = -1;
}

void walk_end(struct walk *walk) {
    while (walk->depth > 0) {
        struct walk_level *level = walk_top(walk);
        close_level(level);
        free(level->name);
        walk->depth--;
    }
    free(walk->levels);
    walk->levels = NULL;
    walk->capacity = 0;
}

static int grow(struct walk *walk, const char **syscall) {
    if (walk->depth < walk->capacity) return 0;
    size_t capacity = walk->capacity ? walk->capacity * 2 : 16;
    struct walk_level *levels = reallocarray(walk->levels, capacity, sizeof *levels);
    if (!levels) return fail(syscall, "realloc");
    walk->levels = levels;
    walk->capacity = capacity;
    return 0;
}

int walk_push(struct walk *walk, int directory, int peer, const char *name, const char **syscall) {
    struct walk_level level = {.peer = peer};
    struct stat st, peer_st = {0};
    int error = grow(walk, syscall);
    if (!error && (fstat(directory, &st) < 0 || (peer >= 0 && fstat(peer, &peer_st) < 0)))
        error = fail(syscall, "fstat");
    if (!error && !(level.name = strdup(name))) error = fail(syscall, "strdup");
    if (!error && !(level.dir = fdopendir(directory))) error = fail(syscall, "fdopendir");
    if (error) {
        close(directory);
        if (peer >= 0) close(peer);
        free(level.name);
        return error;
    }
    level.dev = st.st_dev;
    level.ino = st.st_ino;
    level.peer_dev = peer_st.st_dev;
    level.peer_ino = peer_st.st_ino;
    if (walk->depth > OPEN_LEVELS) {
        struct walk_level *above = walk_top(walk);
        above->position = telldir(above->dir);
        bool had_peer = above->peer >= 0;
        close_level(above);
        above->peer = had_peer ? -2 : -1;
    }
    walk->levels[walk->depth++] = level;
    return 0;
}

/* The directory above, and only if it is the one that we came from. */
static int open_above(int below, dev_t dev, ino_t ino) {
    struct stat st;
    int fd = openat(below, "..", OPEN_DIRECTORY);
    if (fd < 0) return -1;
    if (fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino) return fd;
    close(fd);
    errno = ESTALE;
    return -1;
}

static int reopen(struct walk_level *above, const struct walk_level *below, const char **syscall) {
    if (above->peer == -2) {
        above->peer = open_above(below->peer, above->peer_dev, above->peer_ino);
        if (above->peer < 0) return fail(syscall, "openat");
    }
    int fd = open_above(dirfd(below->dir), above->dev, above->ino);
    if (fd < 0) return fail(syscall, "openat");
    above->dir = fdopendir(fd);
    if (!above->dir) {
        close(fd);
        return fail(syscall, "fdopendir");
    }
    seekdir(above->dir, above->position);
    return 0;
}

int walk_pop(struct walk *walk, char **name, const char **syscall) {
    struct walk_level *level = walk_top(walk);
    int error = 0;
    if (walk->depth > 1 && !level[-1].dir) error = reopen(&level[-1], level, syscall);
    close_level(level);
    *name = level->name;
    walk->depth--;
    return error;
}

struct dirent *walk_next(struct walk *walk) {
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(walk_top(walk)->dir);
        if (!entry || (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)) return entry;
    }
}

/* ---- disk usage */

/* The inodes with several names that were counted: open addressing, 0 for an empty place. */
struct known_links {
    ino_t *slots;
    size_t capacity, count;
};

static void known_insert(struct known_links *known, ino_t ino) {
    size_t at = (size_t)(ino * 0x9e3779b97f4a7c15u) & (known->capacity - 1);
    while (known->slots[at])
        at = (at + 1) & (known->capacity - 1);
    known->slots[at] = ino;
}

/* False where it was there already. Beyond the limit all count as new: usage is then too high, memory is not.
 */
static bool known_add(struct known_links *known, ino_t ino) {
    if (known->count * 2 >= known->capacity && known->capacity < MAX_KNOWN_LINKS * 2) {
        struct known_links larger = {.capacity = known->capacity ? known->capacity * 2 : 1024,
                                     .count = known->count};
        larger.slots = calloc(larger.capacity, sizeof *larger.slots);
        if (!larger.slots) return true;
        for (size_t i = 0; i < known->capacity; i++)
            if (known->slots[i]) known_insert(&larger, known->slots[i]);
        free(known->slots);
        *known = larger;
    }
    size_t at = (size_t)(ino * 0x9e3779b97f4a7c15u) & (known->capacity - 1);
    for (; known->slots[at]; at = (at + 1) & (known->capacity - 1))
        if (known->slots[at] == ino) return false;
    if (known->count < MAX_KNOWN_LINKS) {
        known->slots[at] = ino;
        known->count++;
    }
    return true;
}

static void count(const struct stat *st, struct known_links *known, uint64_t *bytes, uint64_t *inodes) {
    if (!S_ISDIR(st->st_mode) && st->st_nlink > 1 && !known_add(known, st->st_ino)) return;
    *bytes += (uint64_t)st->st_blocks * 512;
    *inodes += 1;
}

int files_usage(const char *directory, uint64_t *bytes, uint64_t *inodes, const char **syscall) {
    *bytes = *inodes = 0;
    struct walk walk = {0};
    struct known_links known = {0};
    int fd = open(directory, OPEN_DIRECTORY);
    if (fd < 0) return fail(syscall, "open");
    struct stat st;
    if (fstat(fd, &st) == 0) count(&st, &known, bytes, inodes);
    dev_t dev = st.st_dev;
    int error = walk_push(&walk, fd, -1, "", syscall);
    while (!error && walk.depth > 0) {
        struct dirent *entry = walk_next(&walk);
        if (!entry) {
            char *name;
            error = walk_pop(&walk, &name, syscall);
            free(name);
            continue;
        }
        int at = dirfd(walk_top(&walk)->dir);
        /* What vanishes while a container works on it is not counted. */
        if (fstatat(at, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dev) continue;
        count(&st, &known, bytes, inodes);
        if (!S_ISDIR(st.st_mode)) continue;
        fd = openat(at, entry->d_name, OPEN_DIRECTORY);
        if (fd >= 0) error = walk_push(&walk, fd, -1, "", syscall);
    }
    walk_end(&walk);
    free(known.slots);
    return error;
}

/* ---- removal */

struct removal {
    struct walk walk;
    int error;
    const char *syscall;
    int retries;
};

static void note(struct removal *removal, const char *syscall) {
    if (removal->error) return;
    removal->error = errno;
    removal->syscall = syscall;
}

/* Removes one name; a directory that is not empty is entered. */
static int remove_entry(struct removal *removal, int at, const char *name, bool is_directory) {
    if (!is_directory) {
        if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return 0;
        if (errno != EISDIR && errno != EPERM) return note(removal, "unlinkat"), 0;
    }
    if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
    if (errno != ENOTEMPTY && errno != EEXIST) return note(removal, "unlinkat"), 0;
    int fd = openat(at, name, OPEN_DIRECTORY);
    if (fd < 0) return note(removal, "openat"), 0;
    return walk_push(&removal->walk, fd, -1, name, &removal->syscall);
}

/* The innermost directory has been read to its end. */
static int leave(struct removal *removal, int outside) {
    char *name = NULL;
    int error = walk_pop(&removal->walk, &name, &removal->syscall);
    if (!error) {
        int at = removal->walk.depth > 0 ? dirfd(walk_top(&removal->walk)->dir) : outside;
        if (unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
            /* Reading may have passed over a name while others were deleted; with a real failure there is no
             * point. */
            bool again = (errno == ENOTEMPTY || errno == EEXIST) && !removal->error && removal->retries-- > 0;
            if (!again)
                note(removal, "unlinkat");
            else
                error = remove_entry(removal, at, name, true);
        }
    }
    free(name);
    return error;
}

int files_remove(int directory, const char *name, const char **syscall) {
    struct removal removal = {.retries = RMDIR_RETRIES};
    int error = remove_entry(&removal, directory, name, false);
    while (!error && removal.walk.depth > 0) {
        struct dirent *entry = walk_next(&removal.walk);
        if (entry)
            error = remove_entry(&removal, dirfd(walk_top(&removal.walk)->dir), entry->d_name,
                                 entry->d_type == DT_DIR);
        else
            error = leave(&removal, directory);
    }
    walk_end(&removal.walk);
    *syscall = removal.syscall;
    return removal.error ? removal.error : error;
}
