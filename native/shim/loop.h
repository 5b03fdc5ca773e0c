/*
 * The event loop's vocabulary: a watch is one descriptor and what is wanted of it. Level triggered; a watch
 * that wants nothing is not registered at all, so that a hung-up descriptor cannot keep the loop busy.
 */
#ifndef GANTRY_SHIM_LOOP_H
#define GANTRY_SHIM_LOOP_H

#include <stdbool.h>
#include <stdint.h>

enum watch_kind {
    WATCH_SIGNALS,
    WATCH_LISTEN,
    WATCH_CONTAINER_OUT,
    WATCH_CONTAINER_ERR,
    WATCH_CONTAINER_IN,
    WATCH_CONNECTION,
    WATCH_EXEC_OUT,
    WATCH_EXEC_ERR,
    WATCH_EXEC_IN,
    WATCH_EXEC_LAUNCH,
    WATCH_OOM,
};

struct watch {
    int fd; /* -1 when closed */
    uint32_t events;
    uint8_t kind;
    uint16_t slot; /* of the connection it belongs to */
};

/* Takes over fd; wants nothing yet. */
void watch_open(struct watch *watch, int fd, enum watch_kind kind, uint16_t slot);
/* Sets what is wanted (EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP or 0). False where the kernel refuses. */
bool watch_want(int epoll, struct watch *watch, uint32_t events);
/* Closes the descriptor; also on a closed watch. */
void watch_close(int epoll, struct watch *watch);

/* CLOCK_MONOTONIC in milliseconds, for deadlines. */
uint64_t loop_now_ms(void);
/* Sets O_NONBLOCK. */
bool loop_set_nonblocking(int fd);

#endif
