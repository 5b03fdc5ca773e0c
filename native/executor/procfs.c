/* Verified access to /proc. See procfs.h. */
#define _GNU_SOURCE
#include "procfs.h"
#include "calls.h"
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define PROC_ROOT_INODE 1

#define LONGEST_LINK 64
#define VERIFIED (RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS)

static int open_root(void) {
    int fd = call_openat2(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS);
    if (fd < 0) return -1;
    struct statfs filesystem;
    struct stat status;
    if (fstatfs(fd, &filesystem) == 0 && fstat(fd, &status) == 0 && filesystem.f_type == PROC_SUPER_MAGIC &&
        status.st_ino == PROC_ROOT_INODE)
        return fd;
    close(fd);
    errno = ENOTSUP;
    return -1;
}

/* Not through what is mounted on the link or above it; where it leads to is the kernel's word. */
static int follow(int proc, const char *path, int flags) {
    char directory[LONGEST_LINK];
    const char *name = strrchr(path, '/');
    if (name == NULL || (size_t)(name - path) >= sizeof(directory)) {
        errno = EINVAL;
        return -1;
    }
    memcpy(directory, path, (size_t)(name - path));
    directory[name - path] = 0;
    name++;
    PLAN_FD parent = call_openat2(proc, directory, O_PATH | O_DIRECTORY, 0, VERIFIED);
    if (parent < 0) return -1;
    PLAN_FD link = call_openat2(parent, name, O_PATH | O_NOFOLLOW, 0, VERIFIED);
    return link < 0 ? -1 : openat(parent, name, flags | O_CLOEXEC);
}

int procfs_root(struct plan_context *context) {
    if (context->proc < 0) context->proc = open_root();
    return context->proc;
}

int procfs_follow(struct plan_context *context, const char *path, int flags) {
    int proc = procfs_root(context);
    return proc < 0 ? -1 : follow(proc, path, flags);
}

int procfs_host_open(const char *path, int flags) {
    PLAN_FD proc = open_root();
    return proc < 0 ? -1 : call_openat2(proc, path, (uint64_t)flags, 0, VERIFIED);
}

int procfs_host_follow(const char *path, int flags) {
    PLAN_FD proc = open_root();
    return proc < 0 ? -1 : follow(proc, path, flags);
}

int procfs_open(struct plan_context *context, const char *path, int flags) {
    int proc = procfs_root(context);
    if (proc < 0) return -1;
    return call_openat2(proc, path, (uint64_t)flags, 0, VERIFIED);
}

int procfs_write(struct plan_context *context, const char *path, const char *text) {
    int fd = procfs_open(context, path, O_WRONLY);
    if (fd < 0) return -1;
    size_t length = strlen(text);
    ssize_t written = write(fd, text, length);
    int error = written < 0 ? errno : EIO;
    close(fd);
    errno = error;
    return written == (ssize_t)length ? 0 : -1;
}

size_t procfs_decimal(long value, char *out) {
    char digits[20];
    size_t count = 0;
    unsigned long rest = value < 0 ? 0UL - (unsigned long)value : (unsigned long)value;
    do
        digits[count++] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    size_t length = 0;
    if (value < 0) out[length++] = '-';
    while (count > 0)
        out[length++] = digits[--count];
    out[length] = 0;
    return length;
}

void procfs_fd_name(int fd, char name[PROC_FD_NAME]) {
    memcpy(name, "self/fd/", 8);
    procfs_decimal(fd, name + 8);
}

bool procfs_process_name(const struct plan_context *context, const char *name, char *out, size_t size) {
    char pid[24] = "self";
    if (context->pid > 0) procfs_decimal(context->pid, pid);
    size_t head = strlen(pid);
    size_t tail = strlen(name);
    if (head + 1 + tail >= size) return false;
    memcpy(out, pid, head);
    out[head] = '/';
    memcpy(out + head + 1, name, tail + 1);
    return true;
}
