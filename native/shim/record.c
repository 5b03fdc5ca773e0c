/*
 * What the shim keeps in files: its pid record and exit record, written to a temporary name and renamed, so
 * that a reader sees a whole one or none.
 */
#define _GNU_SOURCE
#include "../executor/procfs.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *put_text(char *at, const char *text) {
    size_t length = strlen(text);
    memcpy(at, text, length + 1);
    return at + length;
}

static char *put_decimal(char *at, uint32_t value) {
    char digits[10];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + value % 10);
    while (value /= 10);
    while (count > 0)
        *at++ = digits[--count];
    *at = 0;
    return at;
}

ssize_t record_read(int fd, char *out, size_t size) {
    ssize_t n;
    do
        n = pread(fd, out, size - 1, 0);
    while (n < 0 && errno == EINTR);
    out[n > 0 ? n : 0] = 0;
    return n;
}

/* Field 22 of /proc/PID/stat (proc_pid_stat(5)); 0 if the process has gone. */
uint64_t record_start_time(pid_t pid) {
    char path[32], text[1024];
    put_text(put_decimal(path, (uint32_t)pid), "/stat");
    int fd = procfs_host_open(path, O_RDONLY);
    if (fd < 0) return 0;
    ssize_t n = record_read(fd, text, sizeof text);
    close(fd);
    if (n <= 0) return 0;
    /* The name in parentheses may hold anything: what counts comes after the last one. */
    const char *at = strrchr(text, ')');
    if (at == NULL) return 0;
    for (int field = 2; field < 22 && at != NULL; field++) {
        at = strchr(at, ' ');
        if (at != NULL) at++;
    }
    uint64_t value = 0;
    for (; at != NULL && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

int record_write(struct shim *shim, const char *name, const void *data, size_t length) {
    char temporary[16];
    put_text(put_text(temporary, name), ".new");
    int fd = openat(shim->directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return errno;
    ssize_t n = write(fd, data, length);
    int error = n == (ssize_t)length ? 0 : n < 0 ? errno : ENOSPC;
    close(fd);
    if (error == 0 && renameat(shim->directory, temporary, shim->directory, name) < 0) error = errno;
    return error;
}

int record_write_pid(struct shim *shim) {
    struct shim_pid_record record = {.magic = SHIM_PID_MAGIC,
                                     .version = 1,
                                     .shim_pid = (uint32_t)getpid(),
                                     .init_pid = (uint32_t)shim->container.process.pid,
                                     .shim_start_time = shim->start_time,
                                     .init_start_time = shim->container.start_time};
    return record_write(shim, "pid", &record, sizeof record);
}

void record_remove_all(struct shim *shim) {
    static const char *const names[] = {"sock", "pid", "exit", "pid.new", "exit.new"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlinkat(shim->directory, names[i], 0);
    rmdir(shim->path);
}

bool record_directory_vanished(const struct shim *shim) {
    struct stat status;
    return fstat(shim->directory, &status) == 0 && status.st_nlink == 0;
}
