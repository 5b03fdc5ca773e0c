/* Entering a control group. See cgroup.h. */
#define _GNU_SOURCE
#include "cgroup.h"
#include "calls.h"
#include <errno.h>
#include <linux/magic.h>
#include <sys/statfs.h>

/*
 * Through no link, and on a filesystem of control groups, or resctrl, whose classes are entered alike:
 * whatever lies there, nothing else is written to.
 */
static int open_tasks(const char *file) {
    int fd = call_openat2(AT_FDCWD, file, O_WRONLY, 0, RESOLVE_NO_SYMLINKS);
    struct statfs filesystem;
    if (fd < 0) return -1;
    if (fstatfs(fd, &filesystem) == 0 &&
        (filesystem.f_type == CGROUP_SUPER_MAGIC || filesystem.f_type == CGROUP2_SUPER_MAGIC ||
         filesystem.f_type == RDTGROUP_SUPER_MAGIC))
        return fd;
    close(fd);
    errno = ENOTSUP;
    return -1;
}

int cgroup_enter(const char *file) {
    int fd = open_tasks(file);
    if (fd < 0) return -1;
    ssize_t written = write(fd, "0", 1);
    int error = errno;
    close(fd);
    errno = error;
    return written == 1 ? 0 : -1;
}
