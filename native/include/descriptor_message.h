/* A descriptor in a message on a unix socket (SCM_RIGHTS), to be sent or as it came. */
#ifndef GANTRY_DESCRIPTOR_MESSAGE_H
#define GANTRY_DESCRIPTOR_MESSAGE_H

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for one descriptor's control message, zeroed. */
union descriptor_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* Lets fd go with the message; `control` has to live as long as that. */
static inline void descriptor_attach(struct msghdr *message, union descriptor_control *control, int fd) {
    message->msg_control = control->bytes;
    message->msg_controllen = sizeof(control->bytes);
    control->header.cmsg_level = SOL_SOCKET;
    control->header.cmsg_type = SCM_RIGHTS;
    control->header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control->header), &fd, sizeof(fd));
}

/* The descriptor that came with a received message, the first if there is room for more; -1 if none did. */
static inline int descriptor_take(struct msghdr *message) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        int fd, more;
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
        /* Alignment leaves room for a second one. */
        for (size_t at = CMSG_LEN(sizeof(int)); at + sizeof(int) <= header->cmsg_len; at += sizeof(int)) {
            memcpy(&more, (char *)header + at, sizeof(more));
            close(more);
        }
        return fd;
    }
    return -1;
}

/* Sends fd with a byte of data, as a terminal's master is handed over. As sendmsg(2). */
static inline ssize_t descriptor_send(int channel, int fd) {
    char byte = 0;
    union descriptor_control control = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    descriptor_attach(&message, &control, fd);
    return sendmsg(channel, &message, MSG_NOSIGNAL);
}

#endif
