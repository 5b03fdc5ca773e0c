/* Watches on epoll. See loop.h. */
#define _GNU_SOURCE
#include "loop.h"
#include "monotonic.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

void watch_open(struct watch *watch, int fd, enum watch_kind kind, uint16_t slot) {
    watch->fd = fd;
    watch->events = 0;
    watch->kind = (uint8_t)kind;
    watch->slot = slot;
}

bool watch_want(int epoll, struct watch *watch, uint32_t events) {
    if (watch->fd < 0 || watch->events == events) return true;
    struct epoll_event event = {.events = events, .data.ptr = watch};
    int op = events == 0 ? EPOLL_CTL_DEL : watch->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(epoll, op, watch->fd, &event) < 0) return false;
    watch->events = events;
    return true;
}

void watch_close(int epoll, struct watch *watch) {
    if (watch->fd < 0) return;
    /* Explicitly: a forked child may still hold the open file description for a moment. */
    watch_want(epoll, watch, 0);
    close(watch->fd);
    watch->fd = -1;
}

uint64_t loop_now_ms(void) {
    return (uint64_t)monotonic_ms();
}

bool loop_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}
