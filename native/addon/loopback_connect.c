/*
 * Part of the addon: a TCP connection to a port of the loopback addresses of a network namespace, for port
 * forwarding. A job's thread enters the namespace, connects without blocking, waits for the outcome within a
 * time limit, and ends; a socket belongs to the namespace that it was made in, wherever it is used. See
 * addon.h.
 */
#define _GNU_SOURCE
#include "job.h"
#include "monotonic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct connect_job {
    struct job job;
    int netns; /* -1: the process's own */
    uint16_t port;
    int timeout_ms;
    int socket; /* the result; -1 until there is one */
};

static void connect_release(struct job *base) {
    struct connect_job *job = (struct connect_job *)base;
    /* The result has not been handed over: nobody else would close it. */
    if (job->socket >= 0) close(job->socket);
    free(job);
}

/* 0, or the errno of the connection. */
static int await_connection(int fd, int64_t deadline) {
    struct pollfd entry = {.fd = fd, .events = POLLOUT};
    for (;;) {
        int64_t left = deadline - monotonic_ms();
        int ready = poll(&entry, 1, left > 0 ? (int)left : 0);
        if (ready < 0 && errno == EINTR) continue;
        if (ready < 0) return errno;
        if (ready == 0) return ETIMEDOUT;
        int error = 0;
        socklen_t length = sizeof error;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 ? errno : error;
    }
}

/* A connected socket, or -1 with errno. */
static int connect_to(const struct sockaddr *address, socklen_t length, int64_t deadline) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int error = connect(fd, address, length) == 0 ? 0 : errno;
    if (error == EINPROGRESS) error = await_connection(fd, deadline);
    if (error == 0) return fd;
    close(fd);
    errno = error;
    return -1;
}

static void connect_run(struct job *base) {
    struct connect_job *job = (struct connect_job *)base;
    if (job->netns >= 0 && setns(job->netns, CLONE_NEWNET) != 0) return job_fail(base, "setns", NULL);
    int64_t deadline = monotonic_ms() + job->timeout_ms;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(job->port)};
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    job->socket = connect_to((const struct sockaddr *)&four, sizeof four, deadline);
    if (job->socket >= 0) return;
    job_fail(base, "connect", NULL);
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(job->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    job->socket = connect_to((const struct sockaddr *)&six, sizeof six, deadline);
    /* Where both fail, the first failure is what is told. */
    if (job->socket >= 0) job->job.error = 0;
}

static napi_value connect_result(napi_env env, struct job *base) {
    struct connect_job *job = (struct connect_job *)base;
    napi_value fd;
    if (napi_create_int32(env, job->socket, &fd) != napi_ok) return NULL;
    job->socket = -1;
    return fd;
}

/* loopbackConnect(netnsFd or -1, port, timeoutMs) → Promise<descriptor>. The promise settles within the time.
 */
static napi_value loopback_connect(napi_env env, napi_callback_info info) {
    napi_value args[3];
    int32_t netns, timeout_ms;
    uint32_t port;
    if (!addon_args(env, info, 3, args) || !addon_int32(env, args[0], &netns) ||
        !addon_uint32(env, args[1], &port) || !addon_int32(env, args[2], &timeout_ms))
        return NULL;
    struct connect_job *job = calloc(1, sizeof *job);
    if (job == NULL) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    job->job = (struct job){.run = connect_run, .result = connect_result, .release = connect_release};
    job->netns = netns;
    job->port = (uint16_t)port;
    job->timeout_ms = timeout_ms;
    job->socket = -1;
    return job_start(env, &job->job);
}

void addon_loopback_connect_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"loopbackConnect", loopback_connect}};
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
