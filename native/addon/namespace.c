/*
 * Part of the addon: network, IPC, UTS and user namespaces that no process lives in. A job's thread unshares,
 * sets up and pins them by bind mounts of its own /proc/thread-self/ns entries, and exits. Those that a user
 * namespace owns are made by a process that lives until they are pinned. What fails half-way is undone before
 * the promise settles. See addon.h.
 */
#define _GNU_SOURCE
#include "job.h"
#include "mount.h"
#include "procfs.h"
#include "sysctl.h"
#include "user_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static const struct {
    const char *name;
    int flag;
} KINDS[] = {{"net", CLONE_NEWNET}, {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}, {"user", CLONE_NEWUSER}};
#define KIND_COUNT (sizeof KINDS / sizeof *KINDS)
/* The user namespace is asked for by its maps. */
#define KIND_USER (KIND_COUNT - 1)

struct pin_job {
    struct job job;
    char *directory, *hostname, *uid_map, *gid_map;
    uint32_t flags;
    bool loopback;
    char **sysctls;
};

static void pin_release(struct job *base) {
    struct pin_job *job = (struct pin_job *)base;
    sysctl_list_free(job->sysctls);
    free(job->directory);
    free(job->hostname);
    free(job->uid_map);
    free(job->gid_map);
    free(job);
}

static int open_directory(const char *path) {
    return open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int bring_loopback_up(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING};
    int result = ioctl(fd, SIOCSIFFLAGS, &request), err = errno;
    close(fd);
    errno = err;
    return result;
}

/* Bind mounts a task's namespace onto a new file. On failure the file is gone again. */
static int pin_one(int directory, int proc, const char *task, const char *name) {
    char link[48];
    snprintf(link, sizeof link, "%s/ns/%s", task, name);
    int file = openat(directory, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) return -1;
    struct statfs fs;
    int result = -1, err, namespace = openat(proc, link, O_RDONLY | O_CLOEXEC);
    if (namespace >= 0 && fstatfs(namespace, &fs) == 0) {
        errno = ENOTSUP;
        if (fs.f_type == NSFS_MAGIC) result = mount_bind(namespace, file);
    }
    err = errno;
    if (result != 0) unlinkat(directory, name, 0);
    if (namespace >= 0) close(namespace);
    close(file);
    errno = err;
    return result;
}

/* In the new namespaces, by their thread or by the root of their user namespace. */
static void set_up(struct job *base) {
    struct pin_job *job = (struct pin_job *)base;
    const char *path;
    if (job->hostname && sethostname(job->hostname, strlen(job->hostname)) != 0)
        job_fail(base, "sethostname", NULL);
    else if (job->loopback && bring_loopback_up() != 0)
        job_fail(base, "ioctl SIOCSIFFLAGS", "lo");
    else if (sysctl_list_write(job->sysctls, &path) != 0)
        job_fail(base, "write", path);
}

/* Pins all that were made, or none. */
static void pin_all(struct pin_job *job, int directory, int proc, const char *task) {
    uint32_t pinned = 0;
    for (size_t i = 0; i < KIND_COUNT && job->job.error == 0; i++) {
        if (!(job->flags & (uint32_t)KINDS[i].flag)) continue;
        if (pin_one(directory, proc, task, KINDS[i].name) != 0)
            job_fail(&job->job, "pin", KINDS[i].name);
        else
            pinned |= (uint32_t)KINDS[i].flag;
    }
    for (size_t i = 0; i < KIND_COUNT && job->job.error != 0; i++) {
        if (!(pinned & (uint32_t)KINDS[i].flag)) continue;
        mount_detach(directory, KINDS[i].name);
        unlinkat(directory, KINDS[i].name, 0);
    }
}

static void pin_of_thread(struct pin_job *job, int directory, int proc) {
    if (unshare((int)job->flags) != 0) return (void)job_fail(&job->job, "unshare", NULL);
    set_up(&job->job);
    pin_all(job, directory, proc, "thread-self");
}

static void pin_of_user(struct pin_job *job, int directory, int proc) {
    struct user_process process;
    uint32_t owned = job->flags & ~(uint32_t)CLONE_NEWUSER;
    if (user_process_start(&process, proc, owned, job->uid_map, job->gid_map, set_up, &job->job) != 0) return;
    char task[16];
    snprintf(task, sizeof task, "%d", (int)process.pid);
    pin_all(job, directory, proc, task);
    user_process_end(&process);
}

static void pin_run(struct job *base) {
    struct pin_job *job = (struct pin_job *)base;
    int directory = open_directory(job->directory);
    if (directory < 0) return (void)job_fail(base, "open", job->directory);
    int proc = procfs_open_root();
    if (proc < 0)
        job_fail(base, "open", "/proc");
    else if (job->flags & CLONE_NEWUSER)
        pin_of_user(job, directory, proc);
    else
        pin_of_thread(job, directory, proc);
    if (proc >= 0) close(proc);
    close(directory);
}

/* pinNamespaces(directory, net, ipc, uts, hostname or "", loopback, sysctls: [path, value, …], lines of
 * uid_map or "", lines of gid_map) → Promise<void> */
static napi_value pin_namespaces(napi_env env, napi_callback_info info) {
    napi_value args[9];
    if (!addon_args(env, info, 9, args)) return NULL;
    struct pin_job *job = calloc(1, sizeof *job);
    if (job == NULL) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    job->job = (struct job){.run = pin_run, .release = pin_release};
    bool wanted[KIND_COUNT] = {false}, valid = true;
    for (size_t i = 0; i < KIND_USER; i++) {
        valid &= napi_get_value_bool(env, args[1 + i], &wanted[i]) == napi_ok;
        if (wanted[i]) job->flags |= (uint32_t)KINDS[i].flag;
    }
    valid &= napi_get_value_bool(env, args[5], &job->loopback) == napi_ok;
    if (!valid) {
        pin_release(&job->job);
        return addon_throw_type(env, "argument is not a boolean");
    }
    if ((job->directory = addon_string(env, args[0])) == NULL ||
        (job->hostname = addon_string(env, args[4])) == NULL ||
        (job->uid_map = addon_string(env, args[7])) == NULL ||
        (job->gid_map = addon_string(env, args[8])) == NULL ||
        (job->sysctls = sysctl_list_read(env, args[6])) == NULL) {
        pin_release(&job->job);
        return NULL;
    }
    if (job->uid_map[0] != 0) job->flags |= CLONE_NEWUSER;
    if (job->hostname[0] == 0 || !(job->flags & CLONE_NEWUTS)) {
        free(job->hostname);
        job->hostname = NULL;
    }
    job->loopback = job->loopback && (job->flags & CLONE_NEWNET);
    return job_start(env, &job->job);
}

static void unpin_run(struct job *base) {
    struct pin_job *job = (struct pin_job *)base;
    int directory = open_directory(job->directory);
    if (directory < 0) {
        if (errno != ENOENT) job_fail(base, "open", job->directory);
        return;
    }
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (mount_detach(directory, KINDS[i].name) != 0)
            job_fail(base, "umount2", KINDS[i].name);
        else if (unlinkat(directory, KINDS[i].name, 0) != 0 && errno != ENOENT)
            job_fail(base, "unlinkat", KINDS[i].name);
    }
    close(directory);
}

/* unpinNamespaces(directory) → Promise<void>; what is already gone is no error. */
static napi_value unpin_namespaces(napi_env env, napi_callback_info info) {
    napi_value args[1];
    if (!addon_args(env, info, 1, args)) return NULL;
    struct pin_job *job = calloc(1, sizeof *job);
    if (job == NULL) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    job->job = (struct job){.run = unpin_run, .release = pin_release};
    if ((job->directory = addon_string(env, args[0])) == NULL) {
        pin_release(&job->job);
        return NULL;
    }
    return job_start(env, &job->job);
}

/* namespaceInode(path) → bigint; throws EINVAL for a file that is no namespace. */
static napi_value namespace_inode(napi_env env, napi_callback_info info) {
    napi_value args[1], inode;
    if (!addon_args(env, info, 1, args)) return NULL;
    char *path = addon_string(env, args[0]);
    if (path == NULL) return NULL;
    struct stat status;
    struct statfs fs;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
    if (fd < 0 || fstat(fd, &status) != 0 || fstatfs(fd, &fs) != 0)
        err = errno;
    else if (fs.f_type != NSFS_MAGIC)
        err = EINVAL;
    if (fd >= 0) close(fd);
    if (err != 0) addon_throw_errno(env, err, "open", path);
    free(path);
    if (err != 0 || napi_create_bigint_uint64(env, status.st_ino, &inode) != napi_ok) return NULL;
    return inode;
}

void addon_namespace_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"pinNamespaces", pin_namespaces},
                                                      {"unpinNamespaces", unpin_namespaces},
                                                      {"namespaceInode", namespace_inode}};
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
