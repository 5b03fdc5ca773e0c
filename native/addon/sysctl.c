/* Sysctls through a verified procfs. See sysctl.h. */
#define _GNU_SOURCE
#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static int close_with(int fd, int err) {
    close(fd);
    errno = err;
    return -1;
}

static int check_procfs(int fd) {
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0) return close_with(fd, errno);
    if (fs.f_type != PROC_SUPER_MAGIC) return close_with(fd, ENOTSUP);
    return fd;
}

int sysctl_open_proc(void) {
    int fd = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -1 : check_procfs(fd);
}

static int write_one(int proc, const char *path, const char *value) {
    char full[256];
    int length = snprintf(full, sizeof full, "sys/%s", path);
    if (length < 0 || (size_t)length >= sizeof full) {
        errno = ENAMETOOLONG;
        return -1;
    }
    struct open_how how = {
        .flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    int fd = (int)syscall(SYS_openat2, proc, full, &how, sizeof how);
    if (fd < 0 || check_procfs(fd) < 0) return -1;
    size_t size = strlen(value);
    ssize_t written;
    do
        written = write(fd, value, size);
    while (written < 0 && errno == EINTR);
    if (written < 0) return close_with(fd, errno);
    if ((size_t)written != size) return close_with(fd, EIO);
    close(fd);
    return 0;
}

int sysctl_list_write(char **list, const char **failed) {
    *failed = "/proc";
    if (list[0] == NULL) return 0;
    int proc = sysctl_open_proc();
    if (proc < 0) return -1;
    for (char **text = list; text[0] != NULL && text[1] != NULL; text += 2) {
        *failed = text[0];
        if (write_one(proc, text[0], text[1]) != 0) return close_with(proc, errno);
    }
    close(proc);
    return 0;
}

char **sysctl_list_read(napi_env env, napi_value array) {
    uint32_t count = 0;
    if (napi_get_array_length(env, array, &count) != napi_ok || count % 2 != 0) {
        addon_throw_type(env, "sysctls are not an array of paths and values");
        return NULL;
    }
    char **list = calloc((size_t)count + 1, sizeof *list);
    if (list == NULL) {
        addon_throw_errno(env, ENOMEM, "calloc", NULL);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        napi_value item;
        if (napi_get_element(env, array, i, &item) == napi_ok && (list[i] = addon_string(env, item)) != NULL)
            continue;
        sysctl_list_free(list);
        return NULL;
    }
    return list;
}

void sysctl_list_free(char **list) {
    for (char **text = list; text != NULL && *text != NULL; text++)
        free(*text);
    free(list);
}
