/*
 * Copying a tree, for the snapshotter that works on any filesystem. Both trees are at rest and reached by
 * nobody else. See files.h.
 */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define WHITEOUT_PREFIX ".wh."
#define OPAQUE_NAME ".wh..wh..opq"
#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define COPY_CHUNK (16u << 20)

struct copy {
    struct walk walk;
    int scratch;
    bool whiteouts;
    const char *syscall;
};

static int fail(struct copy *copy, const char *syscall) {
    copy->syscall = syscall;
    return errno;
}

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
}
#define AUTO_CLOSE __attribute__((cleanup(close_fd)))
static void free_bytes(char **bytes) {
    free(*bytes);
}
#define AUTO_FREE __attribute__((cleanup(free_bytes)))

/* Extended attributes by the path of a descriptor or of a name below one; both paths are ours. */
static int copy_xattrs(struct copy *copy, const char *from, const char *to) {
    ssize_t size = llistxattr(from, NULL, 0);
    if (size <= 0) return size == 0 || errno == EOPNOTSUPP ? 0 : fail(copy, "llistxattr");
    AUTO_FREE char *names = malloc((size_t)size);
    AUTO_FREE char *value = malloc(XATTR_SIZE_MAX);
    if (!names || !value) return fail(copy, "malloc");
    size = llistxattr(from, names, (size_t)size);
    if (size < 0) return fail(copy, "llistxattr");
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
        ssize_t length = lgetxattr(from, names + at, value, XATTR_SIZE_MAX);
        if (length < 0) return fail(copy, "lgetxattr");
        if (lsetxattr(to, names + at, value, (size_t)length, 0) < 0 && errno != EOPNOTSUPP)
            return fail(copy, "lsetxattr");
    }
    return 0;
}

static int copy_metadata(struct copy *copy, const struct stat *st, int from_at, const char *from, int to_at,
                         const char *to) {
    if (fchownat(to_at, to, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0) return fail(copy, "fchownat");
    if (!S_ISLNK(st->st_mode) && fchmodat(to_at, to, st->st_mode & 07777, 0) < 0)
        return fail(copy, "fchmodat");
    char from_path[64 + NAME_MAX], to_path[64 + NAME_MAX];
    snprintf(from_path, sizeof from_path, "/proc/self/fd/%d/%s", from_at, from);
    snprintf(to_path, sizeof to_path, "/proc/self/fd/%d/%s", to_at, to);
    int error = copy_xattrs(copy, from_path, to_path);
    if (error) return error;
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    if (utimensat(to_at, to, times, AT_SYMLINK_NOFOLLOW) < 0) return fail(copy, "utimensat");
    return 0;
}

/* One piece without holes, by the kernel where it can. */
static int copy_range(struct copy *copy, int from, int to, off_t at, off_t end) {
    static _Thread_local char buffer[64 * 1024];
    off_t out = at;
    while (at < end) {
        size_t want = end - at > (off_t)COPY_CHUNK ? COPY_CHUNK : (size_t)(end - at);
        ssize_t n = copy_file_range(from, &at, to, &out, want, 0);
        if (n > 0) continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
            return fail(copy, "copy_file_range");
        n = pread(from, buffer, want > sizeof buffer ? sizeof buffer : want, at);
        if (n < 0) return fail(copy, "read");
        if (n == 0) break;
        ssize_t written = pwrite(to, buffer, (size_t)n, out);
        if (written < 0) return fail(copy, "write");
        at += written;
        out += written;
    }
    return 0;
}

static int copy_content(struct copy *copy, int from, int to, off_t size) {
    if (size == 0 || ioctl(to, FICLONE, from) == 0) return 0;
    for (off_t at = 0; at < size;) {
        off_t start = lseek(from, at, SEEK_DATA);
        if (start < 0 && errno == ENXIO) break;
        off_t end = start < 0 ? size : lseek(from, start, SEEK_HOLE);
        if (start < 0) start = at;
        if (end < 0) end = size;
        int error = copy_range(copy, from, to, start, end);
        if (error) return error;
        at = end;
    }
    return ftruncate(to, size) < 0 ? fail(copy, "ftruncate") : 0;
}

static int copy_file(struct copy *copy, int from_at, int to_at, const char *name, const struct stat *st) {
    AUTO_CLOSE int from = openat(from_at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0) return fail(copy, "openat");
    AUTO_CLOSE int to = openat(to_at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0) return fail(copy, "openat");
    return copy_content(copy, from, to, st->st_size);
}

static int copy_symlink(struct copy *copy, int from_at, int to_at, const char *name) {
    char target[PATH_MAX];
    ssize_t length = readlinkat(from_at, name, target, sizeof target - 1);
    if (length < 0) return fail(copy, "readlinkat");
    target[length] = 0;
    return symlinkat(target, to_at, name) < 0 ? fail(copy, "symlinkat") : 0;
}

/* A file with several names gets one more in the scratch directory, under its inode number, where the next
 * finds it. */
static int copy_entry(struct copy *copy, int from_at, int to_at, const char *name, const struct stat *st) {
    char key[48];
    snprintf(key, sizeof key, "%lx-%lx", (unsigned long)st->st_dev, (unsigned long)st->st_ino);
    if (st->st_nlink > 1) {
        if (linkat(copy->scratch, key, to_at, name, 0) == 0) return 0;
        if (errno != ENOENT && errno != EMLINK) return fail(copy, "linkat");
    }
    int error = 0;
    if (S_ISREG(st->st_mode))
        error = copy_file(copy, from_at, to_at, name, st);
    else if (S_ISLNK(st->st_mode))
        error = copy_symlink(copy, from_at, to_at, name);
    else if (mknodat(to_at, name, st->st_mode, st->st_rdev) < 0)
        error = fail(copy, "mknodat");
    if (!error) error = copy_metadata(copy, st, from_at, name, to_at, name);
    if (!error && st->st_nlink > 1 && linkat(to_at, name, copy->scratch, key, 0) < 0 && errno != EEXIST)
        return fail(copy, "linkat");
    return error;
}

/* Deletes everything in the destination directory. */
static int clear(struct copy *copy, int to_at) {
    int fd = openat(to_at, ".", OPEN_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        close_fd(&fd);
        return fail(copy, "openat");
    }
    int error = 0;
    for (struct dirent *entry; !error && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            error = files_remove(to_at, entry->d_name, &copy->syscall);
    closedir(dir);
    return error;
}

/* What the directory of the layer deletes below, before anything of its own is copied. */
static int apply_whiteouts(struct copy *copy, int from_at, int to_at) {
    struct stat st;
    int fd = openat(from_at, ".", OPEN_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        close_fd(&fd);
        return fail(copy, "openat");
    }
    int error = fstatat(from_at, OPAQUE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 ? clear(copy, to_at) : 0;
    const size_t prefix = strlen(WHITEOUT_PREFIX);
    for (struct dirent *entry; !error && (entry = readdir(dir));)
        if (strncmp(entry->d_name, WHITEOUT_PREFIX, prefix) == 0 && strcmp(entry->d_name, OPAQUE_NAME) != 0)
            error = files_remove(to_at, entry->d_name + prefix, &copy->syscall);
    closedir(dir);
    return error;
}

static int enter(struct copy *copy, int from, int to, const char *name) {
    if (copy->whiteouts) {
        int error = apply_whiteouts(copy, from, to);
        if (error) {
            close(from);
            close(to);
            return error;
        }
    }
    return walk_push(&copy->walk, from, to, name, &copy->syscall);
}

static int enter_directory(struct copy *copy, int from_at, int to_at, const char *name) {
    if (mkdirat(to_at, name, 0700) < 0 && errno != EEXIST) return fail(copy, "mkdirat");
    int from = openat(from_at, name, OPEN_DIRECTORY);
    if (from < 0) return fail(copy, "openat");
    int to = openat(to_at, name, OPEN_DIRECTORY);
    if (to < 0) {
        int error = fail(copy, "openat");
        close(from);
        return error;
    }
    return enter(copy, from, to, name);
}

static int visit(struct copy *copy, const char *name) {
    int from_at = dirfd(walk_top(&copy->walk)->dir), to_at = walk_top(&copy->walk)->peer;
    struct stat st, old;
    if (copy->whiteouts && strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0) return 0;
    if (fstatat(from_at, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail(copy, "fstatat");
    if (fstatat(to_at, name, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
        !(S_ISDIR(st.st_mode) && S_ISDIR(old.st_mode))) {
        int error = files_remove(to_at, name, &copy->syscall);
        if (error) return error;
    }
    if (S_ISDIR(st.st_mode)) return enter_directory(copy, from_at, to_at, name);
    return copy_entry(copy, from_at, to_at, name, &st);
}

/* Metadata of a directory comes last, or what was made in it would change its times. */
static int leave(struct copy *copy) {
    struct walk_level *level = walk_top(&copy->walk);
    struct stat st;
    int error = fstat(dirfd(level->dir), &st) < 0 ? fail(copy, "fstat") : 0;
    if (!error) error = copy_metadata(copy, &st, dirfd(level->dir), ".", level->peer, ".");
    char *name = NULL;
    int pop = walk_pop(&copy->walk, &name, &copy->syscall);
    free(name);
    return error ? error : pop;
}

int files_copy(const char *source, const char *destination, const char *scratch, bool whiteouts,
               const char **syscall) {
    struct copy copy = {.whiteouts = whiteouts, .syscall = "open"};
    *syscall = "open";
    AUTO_CLOSE int scratch_fd = open(scratch, OPEN_DIRECTORY);
    if (scratch_fd < 0) return errno;
    copy.scratch = scratch_fd;
    int from = open(source, OPEN_DIRECTORY);
    if (from < 0) return errno;
    int to = open(destination, OPEN_DIRECTORY);
    if (to < 0) {
        int error = errno;
        close(from);
        return error;
    }
    int error = enter(&copy, from, to, "");
    while (!error && copy.walk.depth > 0) {
        struct dirent *entry = walk_next(&copy.walk);
        error = entry ? visit(&copy, entry->d_name) : leave(&copy);
    }
    walk_end(&copy.walk);
    *syscall = copy.syscall;
    return error;
}
