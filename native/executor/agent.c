/* Telling a seccomp agent. See agent.h. */
#define _GNU_SOURCE
#include "agent.h"
#include "procfs.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* An agent that takes no connection must not hold the launcher for ever. */
#define AGENT_TIMEOUT_S 10
#define MAX_PARTS 3

int agent_connect(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(parent_listener, op);
    PLAN_STRING(path, op.path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return plan_fail_with(context, ENAMETOOLONG, "connect", path);
    strcpy(address.sun_path, path);
    int agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (agent < 0) return plan_fail(context, "socket", path);
    struct timeval timeout = {.tv_sec = AGENT_TIMEOUT_S};
    if (setsockopt(agent, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
        connect(agent, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return agent;
    plan_fail(context, "connect", path);
    close(agent);
    return -1;
}

int agent_send(struct plan_context *context, const struct wire_record *record, int agent, int listener) {
    PLAN_FIELDS(parent_listener, op);
    PLAN_STRING(path, op.path);
    PLAN_STRINGS(part, op.state);
    if (op.state.count == 0 || op.state.count > MAX_PARTS) return plan_malformed(context);
    char pid[24];
    size_t digits = procfs_decimal(context->pid, pid);
    struct iovec data[2 * MAX_PARTS];
    size_t count = 0, total = 0;
    for (uint32_t i = 0; i < op.state.count; i++, part = wire_string_after(part)) {
        if (i > 0) data[count++] = (struct iovec){pid, digits};
        data[count++] = (struct iovec){(char *)part, strlen(part)};
    }
    for (size_t i = 0; i < count; i++)
        total += data[i].iov_len;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = data,
                             .msg_iovlen = count,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &listener, sizeof(listener));
    ssize_t sent = sendmsg(agent, &message, MSG_NOSIGNAL);
    if (sent == (ssize_t)total) return 0;
    /* A state in part is none. */
    return sent < 0 ? plan_fail(context, "sendmsg", path) : plan_fail_with(context, EAGAIN, "sendmsg", path);
}
