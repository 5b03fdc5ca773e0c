/*
 * Makes an executor weak that is linked with it: what it has looked up safely it then uses by its name, as runtimes once
 * did. A race that such an executor does not lose shows nothing about the real one.
 *
 *   -Wl,--wrap=syscall,--wrap=mkdirat,--wrap=mknodat,--wrap=ioctl
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the kernel says that the descriptor's path is; false where it has none. */
static int name_of(int fd, char *path, size_t size) {
    char link[40];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    path[length < 0 ? 0 : length] = 0;
    return path[0] == '/';
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f) {
    const struct open_how *how = (const struct open_how *)c;
    if (number != SYS_openat2 || !(how->resolve & RESOLVE_IN_ROOT) || !(how->flags & O_PATH))
        return __real_syscall(number, a, b, c, d, e, f);
    char path[4096];
    long found = __real_syscall(number, a, b, c, d);
    if (found < 0 || !name_of((int)found, path, sizeof(path))) return found;
    int again = open(path, (int)how->flags & ~O_NOFOLLOW);
    if (again < 0) return found;
    close((int)found);
    return again;
}

/* Directory and name as one path. */
static const char *by_name(int directory, const char *name) {
    static char path[8192];
    name_of(directory, path, 4096);
    snprintf(path + strlen(path), 4000, "/%s", name);
    return path;
}

int __wrap_mkdirat(int directory, const char *name, mode_t mode);
int __wrap_mkdirat(int directory, const char *name, mode_t mode) {
    return mkdir(by_name(directory, name), mode);
}

int __wrap_mknodat(int directory, const char *name, mode_t mode, dev_t device);
int __wrap_mknodat(int directory, const char *name, mode_t mode, dev_t device) {
    return mknod(by_name(directory, name), mode, device);
}

/* A terminal's slave by its number beside the multiplexer (CVE-2025-52565). */
int __real_ioctl(int fd, unsigned long request, unsigned long argument);
int __wrap_ioctl(int fd, unsigned long request, unsigned long argument);
int __wrap_ioctl(int fd, unsigned long request, unsigned long argument) {
    unsigned number;
    char path[4096];
    if (request != TIOCGPTPEER || !name_of(fd, path, sizeof(path)) ||
        __real_ioctl(fd, TIOCGPTN, (unsigned long)&number) < 0)
        return __real_ioctl(fd, request, argument);
    snprintf(strrchr(path, '/'), 20, "/%u", number);
    return open(path, (int)argument);
}
