/*
 * Part of the addon: a datagram socket of the unix family to listen on, which Node has not, and its next
 * message, waited for on a thread of its own.
 */
#define _GNU_SOURCE
#include "job.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LONGEST 4096

/* datagramListen(path): its descriptor. */
static napi_value datagram_listen(napi_env env, napi_callback_info info) {
    napi_value args[1], result;
    if (!addon_args(env, info, 1, args)) return NULL;
    __attribute__((cleanup(addon_free_string))) char *path = addon_string(env, args[0]);
    if (path == NULL) return NULL;
    int fd = addon_bind_unix(env, path, SOCK_DGRAM | SOCK_NONBLOCK);
    if (fd < 0) return NULL;
    if (napi_create_int32(env, fd, &result) == napi_ok) return result;
    close(fd);
    return NULL;
}

struct receiving {
    struct job job;
    int fd;
    pid_t pid;
    bool ended;
    size_t length;
    char text[LONGEST];
};

static void receiving_run(struct job *job) {
    struct receiving *receiving = (struct receiving *)job;
    int process = (int)syscall(SYS_pidfd_open, receiving->pid, 0);
    if (process < 0 && errno != ESRCH) return job_fail(job, "pidfd_open", NULL);
    for (;;) {
        struct pollfd watched[] = {{.fd = receiving->fd, .events = POLLIN},
                                   {.fd = process, .events = POLLIN}};
        if (process >= 0 && poll(watched, 2, -1) < 0 && errno != EINTR) {
            job_fail(job, "poll", NULL);
            break;
        }
        /* What it sent before it ended counts. */
        ssize_t length = recv(receiving->fd, receiving->text, sizeof receiving->text, 0);
        if (length >= 0) {
            receiving->length = (size_t)length;
            break;
        }
        if (errno != EAGAIN && errno != EINTR) {
            job_fail(job, "recv", NULL);
            break;
        }
        if (process < 0 || watched[1].revents != 0) {
            receiving->ended = true;
            break;
        }
    }
    if (process >= 0) close(process);
}

static napi_value receiving_result(napi_env env, struct job *job) {
    struct receiving *receiving = (struct receiving *)job;
    napi_value text;
    if (receiving->ended) return NULL;
    return napi_create_string_latin1(env, receiving->text, receiving->length, &text) == napi_ok ? text : NULL;
}

static void receiving_release(struct job *job) {
    free(job);
}

/* datagramReceive(fd, pid) → Promise<text | undefined>: undefined when the process has ended and none is
 * left. */
static napi_value datagram_receive(napi_env env, napi_callback_info info) {
    napi_value args[2];
    int32_t fd, pid;
    if (!addon_args(env, info, 2, args) || !addon_int32(env, args[0], &fd) ||
        !addon_int32(env, args[1], &pid))
        return NULL;
    struct receiving *receiving = calloc(1, sizeof *receiving);
    if (receiving == NULL) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    receiving->job =
        (struct job){.run = receiving_run, .result = receiving_result, .release = receiving_release};
    receiving->fd = fd;
    receiving->pid = pid;
    return job_start(env, &receiving->job);
}

void addon_datagram_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {
        {"datagramListen", datagram_listen},
        {"datagramReceive", datagram_receive},
    };
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
