/* Telling a seccomp agent. See agent.h. */
#define _GNU_SOURCE
#include "agent.h"
#include "descriptor_message.h"
#include "monotonic.h"
#include "procfs.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* An agent that takes nothing must not hold the launcher for ever. */
#define AGENT_TIMEOUT_MS 10000
/* A socket whose queue is full does not tell when there is a place in it. */
#define RETRY_MS 20
#define MAX_PARTS 3

/*
 * After a call that gave EAGAIN: waits until the agent may take something, but not beyond the deadline, and
 * not when the process has gone: nobody reaps it before the launcher tells, and a PID namespace ends no
 * sooner. 0 or -1 (plan_fail).
 */
static int wait_for_agent(struct plan_context *context, int agent, int64_t deadline, const char *call,
                          const char *path) {
    struct pollfd waiting[] = {{.fd = context->sync}, {.fd = agent, .events = POLLOUT}};
    int64_t left = deadline - monotonic_ms();
    if (left <= 0) return plan_fail_with(context, EAGAIN, call, path);
    /* One that is not connected yet says that it can be written to. */
    if (agent < 0 && left > RETRY_MS) left = RETRY_MS;
    if (poll(waiting, 2, (int)left) < 0 && errno != EINTR) return plan_fail(context, "poll", path);
    if (waiting[0].revents != 0) return plan_fail_with(context, ESRCH, "process died", NULL);
    return 0;
}

int agent_connect(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(parent_listener, op);
    PLAN_STRING(path, op.path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return plan_fail_with(context, ENAMETOOLONG, "connect", path);
    strcpy(address.sun_path, path);
    int agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (agent < 0) return plan_fail(context, "socket", path);
    int64_t deadline = monotonic_ms() + AGENT_TIMEOUT_MS;
    int result = 0;
    while (result == 0 && connect(agent, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno == EAGAIN)
            result = wait_for_agent(context, -1, deadline, "connect", path);
        else if (errno != EINTR)
            result = plan_fail(context, "connect", path);
    }
    if (result == 0) return agent;
    close(agent);
    return -1;
}

/* The parts of the state in one piece, the pid between them; free it. NULL with errno. */
static char *whole_state(const struct plan_context *context, const char *part, uint32_t count,
                         size_t *length) {
    char pid[24];
    size_t digits = procfs_decimal(context->pid, pid), room = 0;
    const char *next = part;
    for (uint32_t i = 0; i < count; i++, next = wire_string_after(next))
        room += strlen(next) + digits;
    char *state = malloc(room + 1), *end = state;
    for (uint32_t i = 0; state != NULL && i < count; i++, part = wire_string_after(part)) {
        if (i > 0) end = mempcpy(end, pid, digits);
        end = mempcpy(end, part, strlen(part));
    }
    *length = (size_t)(end - state);
    return state;
}

static void free_state(char **state) {
    free(*state);
}

int agent_send(struct plan_context *context, const struct wire_record *record, int agent, int listener) {
    PLAN_FIELDS(parent_listener, op);
    PLAN_STRING(path, op.path);
    PLAN_STRINGS(part, op.state);
    if (op.state.count == 0 || op.state.count > MAX_PARTS) return plan_malformed(context);
    struct iovec data;
    __attribute__((cleanup(free_state))) char *state =
        whole_state(context, part, op.state.count, &data.iov_len);
    if (state == NULL) return plan_fail(context, "malloc", path);
    data.iov_base = state;
    union descriptor_control control = {0};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    descriptor_attach(&message, &control, listener);
    int64_t deadline = monotonic_ms() + AGENT_TIMEOUT_MS;
    while (data.iov_len > 0) {
        ssize_t sent = sendmsg(agent, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            if (wait_for_agent(context, agent, deadline, "sendmsg", path) < 0) return -1;
        } else if (sent < 0 && errno != EINTR) {
            return plan_fail(context, "sendmsg", path);
        } else if (sent > 0) {
            /* With the first bytes the descriptor has gone. */
            message.msg_control = NULL;
            message.msg_controllen = 0;
            data.iov_base = (char *)data.iov_base + sent;
            data.iov_len -= (size_t)sent;
        }
    }
    return 0;
}
