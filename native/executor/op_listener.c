/*
 * A filter with a listener. What it does to the process's own calls is open: the one that would hand the
 * listener over may be refused, or wait for an agent that does not have it yet. So a thread does that which
 * was there before the filter, and is not subject to it. The process makes no call until the launcher has
 * passed the listener on: it looks at a word of memory.
 */
#define _GNU_SOURCE
#include "channel.h"
#include "operations.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif

#define STACK_BYTES 16384
#define NOT_YET (-1)
#define NEVER (-2)
#define PENDING 1

struct messenger {
    int sync;
    atomic_int listener; /* NOT_YET, NEVER, or the descriptor */
    atomic_int outcome;  /* PENDING, 0, or a negative errno */
};

/* In the thread. It shares the stack protector and errno with the process, which touches neither meanwhile.
 */
static int messenger_main(void *argument) {
    struct messenger *messenger = argument;
    int listener;
    while ((listener = atomic_load(&messenger->listener)) == NOT_YET)
        sched_yield();
    if (listener == NEVER) return 0;
    struct channel_message message = {.kind = CHANNEL_LISTENER};
    int fd;
    int result = channel_send(messenger->sync, &message, listener);
    close(listener);
    if (result == 0) result = channel_receive(messenger->sync, &message, &fd);
    if (result < 0)
        result = -errno;
    else if (message.kind != CHANNEL_RELEASE)
        result = -ESRCH;
    atomic_store(&messenger->outcome, result);
    return 0;
}

int op_seccomp_listen(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(seccomp_listen, op);
    const uint8_t *program = wire_bytes(record, op.program);
    size_t count = op.program.length / sizeof(struct sock_filter);
    if (program == NULL || count > BPF_MAXINSNS) return plan_malformed(context);
    struct sock_fprog filter = {.len = (unsigned short)count};
    memcpy(&filter.filter, &program, sizeof(program));
    /* The thread may be leaving its stack when this function has returned. */
    static _Alignas(16) char stack[STACK_BYTES];
    static struct messenger messenger;
    messenger = (struct messenger){.sync = context->sync, .listener = NOT_YET, .outcome = PENDING};
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    if (clone(messenger_main, stack + sizeof(stack), flags, &messenger) < 0)
        return plan_fail(context, "clone", NULL);
    long listener =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, op.flags | SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
    int error = errno;
    atomic_store(&messenger.listener, listener < 0 ? NEVER : (int)listener);
    if (listener < 0) return plan_fail_with(context, error, "seccomp", NULL);
    int outcome;
    while ((outcome = atomic_load(&messenger.outcome)) == PENDING)
        continue;
    if (outcome < 0) return plan_fail_with(context, -outcome, "sendmsg", "seccomp listener");
    context->listened = true;
    return 0;
}
