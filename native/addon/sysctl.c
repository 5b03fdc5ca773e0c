/* Sysctls through a verified procfs. See sysctl.h. */
#define _GNU_SOURCE
#include "sysctl.h"
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int close_with(int fd, int err) {
    close(fd);
    errno = err;
    return -1;
}

static int write_one(int sys, const char *path, const char *value) {
    int fd = procfs_open(sys, path, O_WRONLY | O_NOFOLLOW);
    if (fd < 0) return -1;
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
    int proc = procfs_open_root();
    if (proc < 0) return -1;
    int sys = procfs_open(proc, "sys", O_PATH | O_DIRECTORY), error = errno;
    close(proc);
    if (sys < 0) {
        errno = error;
        return -1;
    }
    for (char **text = list; text[0] != NULL && text[1] != NULL; text += 2) {
        *failed = text[0];
        if (write_one(sys, text[0], text[1]) != 0) return close_with(sys, errno);
    }
    close(sys);
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
