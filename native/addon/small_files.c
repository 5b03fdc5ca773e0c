/*
 * Part of the addon: reading many small files of the kernel's own filesystems (cgroups, /proc) in one job,
 * and counting the descriptors of processes. The texts are handed over unread. See addon.h.
 */
#define _GNU_SOURCE
#include "job.h"
#include "procfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (16 * 1024)
#define FILE_LIMIT_BYTES (8 * 1024 * 1024)

struct small_files_job {
    struct job job;
    uint8_t *request;
    size_t request_length;
    uint8_t *reply;
    size_t length, capacity;
};

static void small_files_release(struct job *base) {
    struct small_files_job *job = (struct small_files_job *)base;
    free(job->request);
    free(job->reply);
    free(job);
}

static bool reserve(struct small_files_job *job, size_t wanted) {
    if (job->capacity - job->length >= wanted) return true;
    size_t capacity = job->capacity * 2 + wanted;
    uint8_t *larger = realloc(job->reply, capacity);
    if (larger == NULL) return false;
    job->reply = larger;
    job->capacity = capacity;
    return true;
}

/* Appends the file's length, or its errno as a negative number, and its content. 0 or the errno of the job.
 */
static int append_file(struct small_files_job *job, int directory, const char *name) {
    if (!reserve(job, sizeof(int32_t))) return ENOMEM;
    size_t at = job->length;
    job->length += sizeof(int32_t);
    int32_t result = 0;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) result = -errno;
    while (fd >= 0) {
        if (!reserve(job, READ_BYTES)) return close(fd), ENOMEM;
        ssize_t n = read(fd, job->reply + job->length, READ_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 || result + n > FILE_LIMIT_BYTES) {
            result = n < 0 ? -errno : -EFBIG;
            job->length = at + sizeof(int32_t);
            break;
        }
        if (n == 0) break;
        job->length += (size_t)n;
        result += (int32_t)n;
        /* The kernel gives a short file whole: what leaves most of the buffer empty has ended. */
        if (result == n && n < 2048) break;
    }
    if (fd >= 0) close(fd);
    memcpy(job->reply + at, &result, sizeof result);
    return 0;
}

/* Files of one directory, whose names follow with NULs after them, up to an empty one. */
static int append_directory(struct small_files_job *job, const char *directory, const char *names) {
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC), error = 0;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) return errno;
    for (const char *name = names; *name != 0 && error == 0; name += strlen(name) + 1) {
        if (fd >= 0) {
            error = append_file(job, fd, name);
            continue;
        }
        int32_t missing = -ENOENT;
        if (!reserve(job, sizeof missing)) return ENOMEM;
        memcpy(job->reply + job->length, &missing, sizeof missing);
        job->length += sizeof missing;
    }
    if (fd >= 0) close(fd);
    return error;
}

/*
 * The request, strings with NULs after them:
 *   (root, names…, "")…, ""    which files, below which roots
 *   paths…, ""                 of which directories below each of the roots
 */
static void small_files_run(struct job *base) {
    struct small_files_job *job = (struct small_files_job *)base;
    const char *layout = (const char *)job->request, *path = layout;
    while (*path != 0) {
        while (*path != 0)
            path += strlen(path) + 1;
        path++;
    }
    path++;
    char directory[PATH_MAX];
    int error = 0;
    for (; *path != 0 && error == 0; path += strlen(path) + 1) {
        for (const char *root = layout; *root != 0 && error == 0;) {
            int length = snprintf(directory, sizeof directory, "%s/%s", root, path);
            const char *names = root + strlen(root) + 1;
            if (length < 0 || (size_t)length >= sizeof directory) directory[0] = 0;
            error = append_directory(job, directory, names);
            while (*names != 0)
                names += strlen(names) + 1;
            root = names + 1;
        }
    }
    errno = error;
    if (error != 0) job_fail(base, "read", NULL);
}

/* Of one process: its descriptors, and how many of them are sockets. Zero where it has ended. */
static void count_descriptors(int proc, int32_t pid, uint32_t counts[2]) {
    char path[32], target[16];
    snprintf(path, sizeof path, "%d/fd", (int)pid);
    counts[0] = counts[1] = 0;
    int fd = procfs_open(proc, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return;
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        counts[0]++;
        ssize_t n = readlinkat(fd, entry->d_name, target, sizeof target);
        if (n > 8 && memcmp(target, "socket:[", 8) == 0) counts[1]++;
    }
    closedir(directory);
}

static void descriptors_run(struct job *base) {
    struct small_files_job *job = (struct small_files_job *)base;
    int proc = procfs_open_root();
    if (proc < 0) return job_fail(base, "open", "/proc");
    size_t count = job->request_length / sizeof(int32_t);
    if (!reserve(job, count * 2 * sizeof(uint32_t) + 1)) {
        errno = ENOMEM;
        job_fail(base, "realloc", NULL);
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        int32_t pid;
        uint32_t counts[2];
        memcpy(&pid, job->request + i * sizeof pid, sizeof pid);
        count_descriptors(proc, pid, counts);
        memcpy(job->reply + job->length, counts, sizeof counts);
        job->length += sizeof counts;
    }
    close(proc);
}

static napi_value small_files_result(napi_env env, struct job *base) {
    struct small_files_job *job = (struct small_files_job *)base;
    napi_value buffer;
    return napi_create_buffer_copy(env, job->length, job->reply, NULL, &buffer) == napi_ok ? buffer : NULL;
}

static napi_value start(napi_env env, napi_callback_info info, void (*run)(struct job *)) {
    napi_value args[1];
    uint8_t *data;
    size_t length;
    if (!addon_args(env, info, 1, args) || !addon_bytes(env, args[0], &data, &length)) return NULL;
    struct small_files_job *job = calloc(1, sizeof *job);
    if (job == NULL) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    job->job = (struct job){.run = run, .result = small_files_result, .release = small_files_release};
    job->request_length = length;
    job->request = calloc(1, length + 4);
    if (job->request == NULL) {
        small_files_release(&job->job);
        return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    }
    if (length > 0) memcpy(job->request, data, length);
    return job_start(env, &job->job);
}

/* smallFilesRead(request) → Promise<Buffer>: for each name, int32 length or -errno, then the content. */
static napi_value small_files_read(napi_env env, napi_callback_info info) {
    return start(env, info, small_files_run);
}

/* descriptorsCount(pids as int32) → Promise<Buffer>: for each pid, two uint32: descriptors, sockets. */
static napi_value descriptors_count(napi_env env, napi_callback_info info) {
    return start(env, info, descriptors_run);
}

void addon_small_files_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"smallFilesRead", small_files_read},
                                                      {"descriptorsCount", descriptors_count}};
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
