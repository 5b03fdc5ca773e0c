/* Entering a control group. See cgroup.h. */
#define _GNU_SOURCE
#include "cgroup.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int cgroup_enter(const char *file) {
    int fd = open(file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return -1;
    ssize_t written = write(fd, "0", 1);
    int error = errno;
    close(fd);
    errno = error;
    return written == 1 ? 0 : -1;
}
