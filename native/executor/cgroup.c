/* Entering a control group. See cgroup.h. */
#define _GNU_SOURCE
#include "cgroup.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int cgroup_enter(const char *directory) {
    int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return -1;
    int file = openat(dir, "tasks", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0 && errno == ENOENT) file = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t written = file < 0 ? -1 : write(file, "0", 1);
    int error = errno;
    if (file >= 0) close(file);
    close(dir);
    errno = error;
    return written == 1 ? 0 : -1;
}
