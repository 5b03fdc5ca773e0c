/*
 * Moving a network interface of the launcher's network namespace into the process's. The netlink messages
 * came with the plan; what only the kernel knows then is put in here: the descriptor of the namespace, and
 * the index that the interface has there.
 */
#define _GNU_SOURCE
#include "operations.h"
#include "procfs.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of ifi_index and ifa_index alike, after the header. */
#define INDEX_OFFSET (NLMSG_HDRLEN + 4)

/* Sends one message that asks for an acknowledgement, and waits for it. 0, or -1 with errno. */
static int request(int socket, const void *message, size_t length) {
    if (send(socket, message, length, 0) != (ssize_t)length) return -1;
    union {
        struct nlmsghdr header;
        char bytes[8192];
    } reply;
    ssize_t received = recv(socket, &reply, sizeof(reply), 0);
    if (received < 0) return -1;
    struct nlmsgerr result;
    if ((size_t)received < NLMSG_LENGTH(sizeof(result.error)) || reply.header.nlmsg_type != NLMSG_ERROR) {
        errno = EBADMSG;
        return -1;
    }
    memcpy(&result.error, NLMSG_DATA(&reply.header), sizeof(result.error));
    errno = -result.error;
    return result.error == 0 ? 0 : -1;
}

static int open_sockets(int *route, int *query) {
    *route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    *query = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return *route < 0 || *query < 0 ? -1 : 0;
}

/* Sockets of another network namespace. The caller has one thread, and is in its own again afterwards. */
static int open_sockets_there(struct plan_context *context, int there, int *route, int *query) {
    PLAN_FD here = procfs_follow(context, "self/ns/net", O_RDONLY);
    if (here < 0 || setns(there, CLONE_NEWNET) < 0) return -1;
    int result = open_sockets(route, query);
    int error = errno;
    /* Nothing may go on in the wrong one. */
    if (setns(here, CLONE_NEWNET) < 0) abort();
    errno = error;
    return result;
}

static int configure(int route, int index, const uint8_t *messages, size_t length) {
    for (size_t at = 0; at < length;) {
        union {
            struct nlmsghdr header;
            char bytes[512];
        } message;
        if (length - at < INDEX_OFFSET + sizeof(index)) break;
        memcpy(&message.header, messages + at, sizeof(message.header));
        size_t size = message.header.nlmsg_len;
        if (size < INDEX_OFFSET + sizeof(index) || size > sizeof(message) || size > length - at) break;
        memcpy(&message, messages + at, size);
        memcpy(message.bytes + INDEX_OFFSET, &index, sizeof(index));
        if (request(route, &message, size) < 0) return -1;
        at += NLMSG_ALIGN(size);
        if (at == length) return 0;
    }
    if (length == 0) return 0;
    errno = EBADMSG;
    return -1;
}

int op_net_device(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(parent_net_device, op);
    PLAN_STRING(host, op.host);
    PLAN_STRING(name, op.name);
    const uint8_t *move = wire_bytes(record, op.move);
    const uint8_t *messages = wire_bytes(record, op.configure);
    char moving[256];
    struct ifreq query = {0};
    if (move == NULL || messages == NULL || op.move.length > sizeof(moving) ||
        op.move.length < sizeof(struct nlmsghdr) + sizeof(int) || op.name.length >= sizeof(query.ifr_name))
        return plan_malformed(context);
    char path[64];
    if (!procfs_process_name(context, "ns/net", path, sizeof(path))) return plan_malformed(context);
    PLAN_FD here = -1, here_query = -1, there_route = -1, there_query = -1;
    PLAN_FD there = procfs_follow(context, path, O_RDONLY);
    if (there < 0) return plan_fail(context, "openat2", path);
    if (open_sockets(&here, &here_query) < 0 ||
        open_sockets_there(context, there, &there_route, &there_query) < 0)
        return plan_fail(context, "socket", host);
    memcpy(query.ifr_name, name, op.name.length);
    /* The kernel would move it first, and find out afterwards that it cannot have the name. */
    if (ioctl(there_query, SIOCGIFINDEX, &query) == 0) return plan_fail_with(context, EEXIST, "move", host);
    memcpy(moving, move, op.move.length);
    memcpy(moving + op.move.length - sizeof(there), &there, sizeof(there));
    if (request(here, moving, op.move.length) < 0) return plan_fail(context, "move", host);
    if (ioctl(there_query, SIOCGIFINDEX, &query) < 0) return plan_fail(context, "ioctl", name);
    if (configure(there_route, query.ifr_ifindex, messages, op.configure.length) < 0)
        return plan_fail(context, "configure", host);
    return 0;
}
