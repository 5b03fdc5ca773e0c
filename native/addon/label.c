/*
 * Part of the addon: one extended attribute set on a file or on a whole tree, without following links and
 * without leaving the filesystem. See addon.h.
 */
#define _GNU_SOURCE
#include "files.h"
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

struct label_job {
    struct job job;
    char *path, *attribute, *value;
};

static void label_release(struct job *base) {
    struct label_job *job = (struct label_job *)base;
    free(job->path);
    free(job->attribute);
    free(job->value);
    free(job);
}

/* Sets it on one name of a directory, or on the descriptor itself where there is none, unless it has it. */
static int label_one(const struct label_job *job, int at, const char *name) {
    char path[320], known[256];
    if (name == NULL)
        snprintf(path, sizeof path, "/proc/self/fd/%d", at);
    else
        snprintf(path, sizeof path, "/proc/self/fd/%d/%s", at, name);
    size_t length = strlen(job->value);
    ssize_t has = name ? lgetxattr(path, job->attribute, known, sizeof known)
                       : getxattr(path, job->attribute, known, sizeof known);
    /* The kernel may count the NUL. */
    if (has > 0 && known[has - 1] == 0) has--;
    if (has == (ssize_t)length && memcmp(known, job->value, length) == 0) return 0;
    return name ? lsetxattr(path, job->attribute, job->value, length, 0)
                : setxattr(path, job->attribute, job->value, length, 0);
}

static int label_tree(const struct label_job *job, int directory, dev_t dev, const char **syscall) {
    struct walk walk = {0};
    struct stat st;
    int error = walk_push(&walk, directory, -1, "", syscall);
    while (!error && walk.depth > 0) {
        struct dirent *entry = walk_next(&walk);
        if (!entry) {
            char *name;
            error = walk_pop(&walk, &name, syscall);
            free(name);
            continue;
        }
        int at = dirfd(walk_top(&walk)->dir);
        /* What vanishes meanwhile needs no label. */
        if (fstatat(at, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dev) continue;
        if (label_one(job, at, entry->d_name) < 0 && errno != ENOENT) {
            *syscall = "lsetxattr";
            error = errno;
            break;
        }
        if (!S_ISDIR(st.st_mode)) continue;
        int fd = openat(at, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) error = walk_push(&walk, fd, -1, entry->d_name, syscall);
    }
    walk_end(&walk);
    return error;
}

/* Through no link at all: who may write above the path must not choose what is labelled. */
static int open_top(const char *path) {
    struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

static void label_run(struct job *base) {
    struct label_job *job = (struct label_job *)base;
    struct stat st;
    int top = open_top(job->path);
    if (top < 0) return job_fail(base, "openat2", job->path);
    if (fstat(top, &st) < 0) {
        job_fail(base, "fstat", job->path);
    } else if (S_ISLNK(st.st_mode)) {
        errno = ELOOP;
        job_fail(base, "openat2", job->path);
    } else if (label_one(job, top, NULL) < 0) {
        job_fail(base, "setxattr", job->path);
    } else if (S_ISDIR(st.st_mode)) {
        const char *syscall = "openat";
        int directory = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int error = directory < 0 ? errno : label_tree(job, directory, st.st_dev, &syscall);
        errno = error;
        if (error) job_fail(base, syscall, job->path);
    }
    close(top);
}

/* labelTree(path, attribute, value) → Promise<void> */
static napi_value label_start(napi_env env, napi_callback_info info) {
    napi_value args[3];
    if (!addon_args(env, info, 3, args)) return NULL;
    struct label_job *job = calloc(1, sizeof *job);
    if (job == NULL) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    job->job = (struct job){.run = label_run, .release = label_release};
    if ((job->path = addon_string(env, args[0])) == NULL ||
        (job->attribute = addon_string(env, args[1])) == NULL ||
        (job->value = addon_string(env, args[2])) == NULL) {
        label_release(&job->job);
        return NULL;
    }
    return job_start(env, &job->job);
}

void addon_label_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"labelTree", label_start}};
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
