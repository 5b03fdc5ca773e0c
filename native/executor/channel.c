/* The socket between launcher and process. See channel.h. */
#define _GNU_SOURCE
#include "channel.h"
#include "descriptor_message.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

/* A message in which nothing is said. */
#define LEAST_BYTES offsetof(struct channel_message, failure.said)

int channel_send(int channel, const struct channel_message *message, int fd) {
    size_t said = strnlen(message->failure.said, sizeof(message->failure.said) - 1);
    struct iovec data = {(void *)message, LEAST_BYTES + said};
    union descriptor_control control = {0};
    struct msghdr packet = {.msg_iov = &data, .msg_iovlen = 1};
    if (fd >= 0) descriptor_attach(&packet, &control, fd);
    ssize_t sent;
    do
        sent = sendmsg(channel, &packet, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : 0;
}

int channel_signal(int channel, enum channel_kind kind) {
    struct channel_message message = {.kind = kind};
    return channel_send(channel, &message, -1);
}

int channel_receive(int channel, struct channel_message *message, int *fd) {
    struct iovec data = {message, sizeof(*message)};
    union control control = {0};
    struct msghdr packet = {.msg_iov = &data,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    *fd = -1;
    memset(message, 0, sizeof(*message));
    ssize_t received;
    do
        received = recvmsg(channel, &packet, MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    /* A peer that died with unread data in its queue shows as a reset. */
    if (received == 0 || (received < 0 && errno == ECONNRESET)) {
        message->kind = CHANNEL_END;
        return 0;
    }
    if (received < 0) return -1;
    *fd = descriptor_take(&packet);
    struct ucred sender = {0};
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&packet); header != NULL;
         header = CMSG_NXTHDR(&packet, header)) {
        if (header->cmsg_type == SCM_CREDENTIALS) memcpy(&sender, CMSG_DATA(header), sizeof(sender));
    }
    message->pid = sender.pid;
    if (received >= (ssize_t)LEAST_BYTES && received < (ssize_t)sizeof(*message)) return 0;
    if (*fd >= 0) close(*fd);
    *fd = -1;
    errno = EBADMSG;
    return -1;
}
