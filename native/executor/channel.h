/*
 * The socket between the launcher and the process it made: one SOCK_SEQPACKET pair, close-on-exec, so that
 * its end of file in the launcher means that the command has been executed (or that the process is dead).
 */
#ifndef GANTRY_CHANNEL_H
#define GANTRY_CHANNEL_H

#include "launch.h"

enum channel_kind {
    CHANNEL_END = 0,      /* end of file */
    CHANNEL_FAILED = 1,   /* process: an operation failed; `failure` tells which */
    CHANNEL_REACHED = 2,  /* process: stands at a rendezvous */
    CHANNEL_READY = 3,    /* process: stands at the gate */
    CHANNEL_CONSOLE = 4,  /* process: a pty's master comes with this */
    CHANNEL_FORKED = 5,   /* process: `pid` goes on in its place, or `adopted`, where that is not 0 */
    CHANNEL_RELEASE = 6,  /* launcher: go on */
    CHANNEL_LISTENER = 7, /* process: its filter's listener comes with this */
};

struct channel_message {
    uint32_t kind;
    int32_t pid;     /* received: of the sender, in the receiver's PID namespace (SO_PASSCRED), else 0 */
    int32_t adopted; /* a process that the sender is to be succeeded by */
    struct plan_error failure;
};

/* 0, or -1 with errno. fd -1: no descriptor goes along. Never raises SIGPIPE. */
int channel_send(int channel, const struct channel_message *message, int fd);
/* A message of this kind and nothing else. */
int channel_signal(int channel, enum channel_kind kind);
/*
 * The next message; CHANNEL_END at the end of file. A descriptor that came along goes to *fd (close-on-exec),
 * else -1. Returns 0, or -1 with errno.
 */
int channel_receive(int channel, struct channel_message *message, int *fd);

#endif
