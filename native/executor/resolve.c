/* Paths inside a root filesystem. See resolve.h. */
#define _GNU_SOURCE
#include "resolve.h"
#include "calls.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_LINKS 40
#define MAX_TRIES 64

int open_in_root(int root, const char *path, int flags, uint64_t resolve) {
    /* EAGAIN: something was renamed or mounted meanwhile, and the kernel cannot tell that ".." stays inside.
     */
    for (int try = 0;; try++) {
        int fd = call_openat2(root, path, (uint64_t)flags, 0, RESOLVE_IN_ROOT | resolve);
        if (fd >= 0 || errno != EAGAIN || try == MAX_TRIES) return fd;
    }
}

int root_open(const struct plan_context *context, const char *path, int flags, uint64_t resolve) {
    return open_in_root(context->root, path, flags, resolve);
}

/* State of the slow way: a descriptor, the same place as a path without links, and what is still to be
 * walked. */
struct walk {
    const struct plan_context *context;
    int fd;
    char done[PATH_MAX];
    char rest[PATH_MAX];
    int links;
};

static int walk_to(struct walk *walk, const char *path) {
    int fd = root_open(walk->context, path[0] == 0 ? "/" : path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    if (fd < 0) return -1;
    if (walk->fd >= 0) close(walk->fd);
    walk->fd = fd;
    return 0;
}

static int walk_up(struct walk *walk) {
    char *slash = strrchr(walk->done, '/');
    if (slash != NULL) *slash = 0;
    return walk_to(walk, walk->done);
}

/* Puts a link's text before the rest of the path. */
static int walk_link(struct walk *walk, int link) {
    char text[PATH_MAX];
    ssize_t length = readlinkat(link, "", text, sizeof(text) - 1);
    if (length < 0) return -1;
    text[length] = 0;
    size_t rest = strlen(walk->rest);
    if (++walk->links > MAX_LINKS || (size_t)length + 1 + rest >= sizeof(walk->rest)) {
        errno = ELOOP;
        return -1;
    }
    memmove(walk->rest + length + 1, walk->rest, rest + 1);
    memcpy(walk->rest, text, (size_t)length);
    walk->rest[length] = '/';
    if (text[0] != '/') return 0;
    walk->done[0] = 0;
    return walk_to(walk, "");
}

/* Takes the next component off the rest; an empty one at the end. */
static bool walk_component(struct walk *walk, char name[NAME_MAX + 1]) {
    const char *start = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(start, "/");
    if (length > NAME_MAX) return false;
    memcpy(name, start, length);
    name[length] = 0;
    const char *after = start + length + strspn(start + length, "/");
    memmove(walk->rest, after, strlen(after) + 1);
    return true;
}

static int walk_make(const struct walk *walk, const char *name, bool directory) {
    int made = directory ? mkdirat(walk->fd, name, 0755) : mknodat(walk->fd, name, S_IFREG | 0644, 0);
    return made < 0 && errno != EEXIST ? -1 : 0;
}

/* One component that is neither "." nor "..". 1: it was the last, and walk->fd is it. */
static int walk_step(struct walk *walk, const char *name, bool directory) {
    bool last = walk->rest[0] == 0;
    uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    int fd = call_openat2(walk->fd, name, O_PATH | O_NOFOLLOW, 0, resolve);
    if (fd < 0 && errno == ENOENT) {
        if (walk_make(walk, name, !last || directory) < 0) return -1;
        fd = call_openat2(walk->fd, name, O_PATH | O_NOFOLLOW, 0, resolve);
    }
    struct stat status;
    if (fd < 0) return -1;
    if (fstat(fd, &status) < 0 || (S_ISLNK(status.st_mode) && walk_link(walk, fd) < 0)) {
        close(fd);
        return -1;
    }
    if (S_ISLNK(status.st_mode)) {
        close(fd);
        return 0;
    }
    size_t length = strlen(walk->done);
    if (length + 1 + strlen(name) >= sizeof(walk->done)) {
        close(fd);
        errno = ENAMETOOLONG;
        return -1;
    }
    walk->done[length] = '/';
    memcpy(walk->done + length + 1, name, strlen(name) + 1);
    close(walk->fd);
    walk->fd = fd;
    return last;
}

static int walk_and_make(struct walk *walk, bool directory) {
    if (walk_to(walk, "") < 0) return -1;
    for (;;) {
        char name[NAME_MAX + 1];
        if (!walk_component(walk, name)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        if (name[0] == 0) return 0;
        if (strcmp(name, ".") == 0) continue;
        int step = strcmp(name, "..") == 0 ? walk_up(walk) : walk_step(walk, name, directory);
        if (step != 0) return step < 0 ? -1 : 0;
    }
}

int root_make(const struct plan_context *context, const char *path, bool directory) {
    int fd = root_open(context, path, O_PATH, 0);
    if (fd >= 0 || errno != ENOENT) return fd;
    struct walk walk = {.context = context, .fd = -1};
    size_t length = strlen(path);
    if (length >= sizeof(walk.rest)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(walk.rest, path, length + 1);
    if (walk_and_make(&walk, directory) == 0) return walk.fd;
    int error = errno;
    if (walk.fd >= 0) close(walk.fd);
    errno = error;
    return -1;
}

int root_directory(struct plan_context *context, const char *path) {
    if (context->directory >= 0 && strcmp(context->directory_path, path) == 0) return context->directory;
    int fd = root_make(context, path, true);
    if (fd < 0) return -1;
    if (context->directory >= 0) close(context->directory);
    context->directory = fd;
    bool fits = strlen(path) < sizeof(context->directory_path);
    strcpy(context->directory_path, fits ? path : "");
    return fd;
}
