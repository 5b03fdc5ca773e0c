/* Copying a directory's content. See copy_up.h. */
#define _GNU_SOURCE
#include "copy_up.h"
#include "calls.h"
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define MAX_DEPTH 128
#define CHUNK (1 << 20)
#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int copy_directory(int source, int target, int depth);

static int copy_file(int source, int target, const char *name, mode_t mode) {
    PLAN_FD from = openat(source, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0) return -1;
    PLAN_FD to = openat(target, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0777);
    if (to < 0) return -1;
    ssize_t sent;
    do
        sent = sendfile(to, from, NULL, CHUNK);
    while (sent > 0 || (sent < 0 && errno == EINTR));
    return sent < 0 ? -1 : 0;
}

static int copy_link(int source, int target, const char *name) {
    char text[PATH_MAX];
    ssize_t length = readlinkat(source, name, text, sizeof(text) - 1);
    if (length < 0) return -1;
    text[length] = 0;
    return symlinkat(text, target, name);
}

static int copy_tree(int source, int target, const char *name, mode_t mode, int depth) {
    if (mkdirat(target, name, 0700 | (mode & 0777)) < 0) return -1;
    PLAN_FD from = openat(source, name, OPEN_DIRECTORY);
    if (from < 0) return -1;
    PLAN_FD to = openat(target, name, OPEN_DIRECTORY);
    return to < 0 ? -1 : copy_directory(from, to, depth + 1);
}

/* Owner, mode and times, after the content. */
static int copy_metadata(int target, const char *name, const struct stat *status) {
    const struct timespec times[2] = {status->st_atim, status->st_mtim};
    if (fchownat(target, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) < 0) return -1;
    if (!S_ISLNK(status->st_mode) && fchmodat(target, name, status->st_mode & 07777, 0) < 0) return -1;
    return utimensat(target, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_entry(int source, int target, const char *name, int depth) {
    struct stat status;
    if (fstatat(source, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return -1;
    int made;
    if (S_ISDIR(status.st_mode))
        made = copy_tree(source, target, name, status.st_mode, depth);
    else if (S_ISREG(status.st_mode))
        made = copy_file(source, target, name, status.st_mode);
    else if (S_ISLNK(status.st_mode))
        made = copy_link(source, target, name);
    else
        made = mknodat(target, name, status.st_mode, status.st_rdev);
    return made < 0 ? -1 : copy_metadata(target, name, &status);
}

static int copy_directory(int source, int target, int depth) {
    if (depth > MAX_DEPTH) {
        errno = ELOOP;
        return -1;
    }
    int own = openat(source, ".", OPEN_DIRECTORY);
    DIR *directory = own < 0 ? NULL : fdopendir(own);
    if (directory == NULL) {
        if (own >= 0) close(own);
        return -1;
    }
    int result = 0;
    for (struct dirent *entry; result == 0;) {
        errno = 0;
        if ((entry = readdir(directory)) == NULL) {
            result = errno == 0 ? 0 : -1;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        result = copy_entry(source, target, entry->d_name, depth);
    }
    int error = errno;
    closedir(directory);
    errno = error;
    return result;
}

int copy_up(struct plan_context *context, int source, int target, const char *path) {
    struct stat status;
    PLAN_FD from = openat(source, ".", OPEN_DIRECTORY);
    PLAN_FD to = openat(target, ".", OPEN_DIRECTORY);
    if (from < 0 || to < 0 || fstat(from, &status) < 0 || copy_directory(from, to, 0) < 0)
        return plan_fail(context, "copy up", path);
    return 0;
}
