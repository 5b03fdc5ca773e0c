/*
 * Part of the addon: netlink. One call sends a batch of messages that TypeScript has built and returns every
 * reply, unread. The kernel handles rtnetlink and nfnetlink requests inside sendmsg, and continues a dump
 * inside recvmsg, so all replies have been read when the socket is empty; nothing is parsed here. See
 * addon.h.
 */
#define _GNU_SOURCE
#include "job.h"
#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_BUFFER_BYTES (4 * 1024 * 1024)
#define RECEIVE_BYTES (64 * 1024)

struct netlink_job {
    struct job job;
    int protocol;
    int netns;  /* -1: the process's own */
    int socket; /* -1: opens and closes one */
    uint8_t *request;
    size_t request_length;
    char **sysctls; /* written before the request is sent */
    char *paths;    /* of namespaces, each with a NUL after it; for netlinkRequestEach */
    size_t paths_length;
    size_t limit; /* of the replies of one namespace; 0: none */
    uint8_t *replies;
    size_t replies_length, replies_capacity;
};

static void netlink_release(struct job *base) {
    struct netlink_job *job = (struct netlink_job *)base;
    sysctl_list_free(job->sysctls);
    free(job->request);
    free(job->replies);
    free(job->paths);
    free(job);
}

static void netlink_receive(struct netlink_job *job, int fd) {
    size_t start = job->replies_length;
    for (;;) {
        if (job->limit > 0 && job->replies_length - start > job->limit) {
            errno = EMSGSIZE;
            return job_fail(&job->job, "recv", "netlink");
        }
        if (job->replies_capacity - job->replies_length < RECEIVE_BYTES) {
            size_t capacity = job->replies_capacity * 2 + RECEIVE_BYTES;
            uint8_t *larger = realloc(job->replies, capacity);
            if (larger == NULL) return job_fail(&job->job, "realloc", NULL);
            job->replies = larger;
            job->replies_capacity = capacity;
        }
        ssize_t n = recv(fd, job->replies + job->replies_length, RECEIVE_BYTES, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) return job_fail(&job->job, "recv", "netlink");
        if (n > RECEIVE_BYTES) {
            errno = EMSGSIZE;
            return job_fail(&job->job, "recv", "netlink");
        }
        job->replies_length += (size_t)n;
    }
}

static int netlink_open(int protocol) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0) return -1;
    int on = 1, size = SOCKET_BUFFER_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    return fd;
}

static void netlink_run(struct job *base) {
    struct netlink_job *job = (struct netlink_job *)base;
    if (job->netns >= 0 && setns(job->netns, CLONE_NEWNET) != 0) return job_fail(base, "setns", NULL);
    const char *path;
    if (sysctl_list_write(job->sysctls, &path) != 0) return job_fail(base, "write", path);
    if (job->request_length == 0) return;
    int fd = job->socket >= 0 ? job->socket : netlink_open(job->protocol);
    if (fd < 0) return job_fail(base, "socket", "netlink");
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent;
    do
        sent = sendto(fd, job->request, job->request_length, 0, (struct sockaddr *)&kernel, sizeof kernel);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        job_fail(base, "sendto", "netlink");
    else
        netlink_receive(job, fd);
    if (fd != job->socket) close(fd);
}

static napi_value netlink_result(napi_env env, struct job *base) {
    struct netlink_job *job = (struct netlink_job *)base;
    napi_value buffer;
    return napi_create_buffer_copy(env, job->replies_length, job->replies, NULL, &buffer) == napi_ok ? buffer
                                                                                                     : NULL;
}

/* ---- the same request in many namespaces */

/* Sends the request in one namespace and appends the replies. -1 with errno set. */
static int netlink_ask(struct netlink_job *job, const char *path) {
    int netns = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (netns < 0) return -1;
    int result = setns(netns, CLONE_NEWNET), error = errno;
    close(netns);
    errno = error;
    if (result != 0) return -1;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, job->protocol);
    if (fd < 0) return -1;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (sendto(fd, job->request, job->request_length, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0) {
        result = -1;
        error = errno;
    } else {
        netlink_receive(job, fd);
        error = job->job.error;
        job->job.error = 0;
        result = error == 0 ? 0 : -1;
    }
    close(fd);
    errno = error;
    return result;
}

static void netlink_each_run(struct job *base) {
    struct netlink_job *job = (struct netlink_job *)base;
    for (size_t at = 0; at < job->paths_length; at += strlen(job->paths + at) + 1) {
        if (job->replies_capacity - job->replies_length < sizeof(int32_t)) {
            uint8_t *larger = realloc(job->replies, job->replies_capacity + RECEIVE_BYTES);
            if (larger == NULL) return job_fail(base, "realloc", NULL);
            job->replies = larger;
            job->replies_capacity += RECEIVE_BYTES;
        }
        size_t start = job->replies_length;
        job->replies_length += sizeof(int32_t);
        int32_t result = netlink_ask(job, job->paths + at) == 0 ? 0 : -errno;
        if (result < 0)
            job->replies_length = start + sizeof result;
        else
            result = (int32_t)(job->replies_length - start - sizeof result);
        memcpy(job->replies + start, &result, sizeof result);
    }
}

/* netlinkRequestEach(protocol, paths of namespaces with a NUL after each, messages, limit) → Promise<Buffer>:
 * for each path, int32 length or -errno, then the replies; EMSGSIZE where they are longer than the limit. */
static napi_value netlink_request_each(napi_env env, napi_callback_info info) {
    napi_value args[4];
    int32_t protocol, limit;
    uint8_t *paths, *data;
    size_t paths_length, length;
    if (!addon_args(env, info, 4, args) || !addon_int32(env, args[0], &protocol) ||
        !addon_bytes(env, args[1], &paths, &paths_length) || !addon_bytes(env, args[2], &data, &length) ||
        !addon_int32(env, args[3], &limit))
        return NULL;
    struct netlink_job *job = calloc(1, sizeof *job);
    if (job == NULL) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    job->job = (struct job){.run = netlink_each_run, .result = netlink_result, .release = netlink_release};
    job->protocol = protocol;
    job->netns = job->socket = -1;
    job->limit = limit > 0 ? (size_t)limit : 0;
    job->replies_capacity = RECEIVE_BYTES;
    job->request_length = length;
    job->paths_length = paths_length;
    job->request = malloc(length + 1);
    job->replies = malloc(job->replies_capacity);
    job->paths = calloc(1, paths_length + 1);
    if (job->request == NULL || job->replies == NULL || job->paths == NULL) {
        netlink_release(&job->job);
        return addon_throw_errno(env, ENOMEM, "malloc", NULL);
    }
    if (length > 0) memcpy(job->request, data, length);
    if (paths_length > 0) memcpy(job->paths, paths, paths_length);
    return job_start(env, &job->job);
}

/* netlinkRequest(protocol, netnsFd or -1, socket or -1, sysctls: [path, value, …], messages) →
 * Promise<Buffer> */
static napi_value netlink_request(napi_env env, napi_callback_info info) {
    napi_value args[5];
    int32_t protocol, netns, given;
    uint8_t *data;
    size_t length;
    if (!addon_args(env, info, 5, args) || !addon_int32(env, args[0], &protocol) ||
        !addon_int32(env, args[1], &netns) || !addon_int32(env, args[2], &given) ||
        !addon_bytes(env, args[4], &data, &length))
        return NULL;
    struct netlink_job *job = calloc(1, sizeof *job);
    if (job == NULL) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    job->job = (struct job){.run = netlink_run, .result = netlink_result, .release = netlink_release};
    job->protocol = protocol;
    job->netns = netns;
    job->socket = given;
    job->replies_capacity = RECEIVE_BYTES;
    job->request_length = length;
    job->request = malloc(length + 1);
    job->replies = malloc(job->replies_capacity);
    if (job->request == NULL || job->replies == NULL) {
        netlink_release(&job->job);
        return addon_throw_errno(env, ENOMEM, "malloc", NULL);
    }
    if (length > 0) memcpy(job->request, data, length);
    job->sysctls = sysctl_list_read(env, args[3]);
    if (job->sysctls == NULL) {
        netlink_release(&job->job);
        return NULL;
    }
    return job_start(env, &job->job);
}

/* netlinkOpen(protocol) → descriptor, in the process's network namespace */
static napi_value netlink_open_socket(napi_env env, napi_callback_info info) {
    napi_value args[1], value = NULL;
    int32_t protocol;
    if (!addon_args(env, info, 1, args) || !addon_int32(env, args[0], &protocol)) return NULL;
    int fd = netlink_open(protocol);
    if (fd < 0) return addon_throw_errno(env, errno, "socket", "netlink");
    napi_create_int32(env, fd, &value);
    return value;
}

/* linkExists(name) → boolean, in the process's network namespace; takes none of the kernel's network locks.
 */
static napi_value link_exists(napi_env env, napi_callback_info info) {
    napi_value args[1], value = NULL;
    if (!addon_args(env, info, 1, args)) return NULL;
    char *name = addon_string(env, args[0]);
    if (name == NULL) return NULL;
    bool exists = if_nametoindex(name) != 0;
    int err = errno;
    free(name);
    if (!exists && err != ENODEV) return addon_throw_errno(env, err, "if_nametoindex", NULL);
    napi_get_boolean(env, exists, &value);
    return value;
}

void addon_netlink_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"netlinkRequest", netlink_request},
                                                      {"netlinkRequestEach", netlink_request_each},
                                                      {"netlinkOpen", netlink_open_socket},
                                                      {"linkExists", link_exists}};
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
