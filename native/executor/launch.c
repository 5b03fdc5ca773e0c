/* Launching: the parent's half. See launch.h, and src/oci/plan.ts for how the two halves meet. */
#define _GNU_SOURCE
#include "launch.h"
#include "agent.h"
#include "calls.h"
#include "channel.h"
#include "interpret.h"
#include "procfs.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* What the launcher knows of the process it is making. */
struct launch {
    struct plan_context context; /* .sync is the launcher's end */
    struct launch_process process;
    bool for_parent; /* the process is our parent's child */
    int listener;    /* of the process's filter, or -1 */
};

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void reap(const struct launch *launch, pid_t pid) {
    if (launch->for_parent || pid <= 0) return;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* Ends the process and lets go of everything. Always -1. */
static int abandon(struct launch *launch) {
    if (launch->process.pid > 0) {
        kill(launch->process.pid, SIGKILL);
        reap(launch, launch->process.pid);
    }
    close_fd(&launch->process.pidfd);
    close_fd(&launch->process.console);
    close_fd(&launch->listener);
    close_fd(&launch->context.sync);
    close_fd(&launch->context.proc);
    return -1;
}

/* Standard streams, in the process. Sources below 3 that would be overwritten are moved away first. */
static int place_stdio(struct plan_context *context, const struct launch_stdio *stdio) {
    int fds[3] = {stdio->in, stdio->out, stdio->err};
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0 && fds[i] < 3 && fds[i] != i && (fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3)) < 0)
            return plan_fail(context, "fcntl", NULL);
    }
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0 && fds[i] != i && dup2(fds[i], i) < 0) return plan_fail(context, "dup2", NULL);
    }
    return 0;
}

_Noreturn static void process_main(struct plan_context *context, int sync, struct wire_cursor operations,
                                   const struct launch_stdio *stdio) {
    struct channel_message message = {.kind = CHANNEL_FAILED, .failure.operation = -1};
    close(context->sync);
    context->sync = sync;
    context->pid = 0;
    context->failure = &message.failure;
    if (place_stdio(context, stdio) < 0) {
        channel_send(sync, &message, -1);
        _exit(126);
    }
    interpret_process(context, operations);
}

/* Clones the process; in it, this does not return. 0 or -1 (plan_fail). */
static int clone_process(struct launch *launch, const struct wire_record *record,
                         struct wire_cursor operations, const struct launch_stdio *stdio) {
    struct plan_context *context = &launch->context;
    PLAN_FIELDS(launch, op);
    PLAN_STRING(cgroup_directory, op.cgroup_directory);
    context->flags = op.flags;
    context->old_kernel = op.flags & PLAN_LAUNCH_OLD_KERNEL;
    if ((op.flags & PLAN_LAUNCH_JOIN_PIDFD) && context->join < 0)
        return plan_fail_with(context, EBADF, "pidfd", NULL);
    PLAN_FD cgroup = -1;
    if (cgroup_directory[0] != 0) {
        cgroup = open(cgroup_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (cgroup < 0) return plan_fail(context, "open", cgroup_directory);
    }
    int sync[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sync) < 0)
        return plan_fail(context, "socketpair", NULL);
    context->sync = sync[0];
    int on = 1;
    if (setsockopt(sync[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
        close(sync[1]);
        return plan_fail(context, "setsockopt", NULL);
    }
    struct clone_args args = {
        .flags = op.clone_flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&launch->process.pidfd,
        .exit_signal = SIGCHLD,
    };
    if (launch->for_parent) {
        args.flags |= CLONE_PARENT;
        args.exit_signal = 0;
    }
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (__u64)cgroup;
    }
    int pid = call_clone3(&args);
    if (pid == 0) process_main(context, sync[1], operations, stdio);
    int error = errno;
    close(sync[1]);
    if (pid < 0) {
        launch->process.pidfd = -1;
        return plan_fail_with(context, error, "clone3", cgroup_directory);
    }
    launch->process.pid = context->pid = pid;
    return 0;
}

/* The process goes on as another one, its sibling, and has ended itself. */
static int follow_fork(struct launch *launch, pid_t pid) {
    reap(launch, launch->process.pid);
    launch->process.pid = launch->context.pid = pid;
    close_fd(&launch->process.pidfd);
    launch->process.pidfd = call_pidfd_open(pid);
    return launch->process.pidfd < 0 ? plan_fail(&launch->context, "pidfd_open", NULL) : 0;
}

/*
 * Takes messages until one of this kind comes. The end of file counts as CHANNEL_END; where another kind is
 * wanted the process has died under us. 0 or -1 (the process's failure, or plan_fail).
 */
static int await(struct launch *launch, enum channel_kind wanted) {
    struct plan_context *context = &launch->context;
    for (;;) {
        struct channel_message message;
        int fd;
        if (channel_receive(context->sync, &message, &fd) < 0) return plan_fail(context, "recvmsg", NULL);
        if (message.kind == CHANNEL_CONSOLE && fd >= 0) {
            close_fd(&launch->process.console);
            launch->process.console = fd;
            continue;
        }
        if (message.kind == CHANNEL_LISTENER && wanted == CHANNEL_LISTENER) {
            launch->listener = fd;
            return fd < 0 ? plan_malformed(context) : 0;
        }
        if (fd >= 0) close(fd);
        if (message.kind == CHANNEL_FAILED) {
            *context->failure = message.failure;
            return -1;
        }
        if (message.kind == CHANNEL_FORKED) {
            if (follow_fork(launch, message.adopted > 0 ? message.adopted : message.pid) < 0) return -1;
            continue;
        }
        if (message.kind == wanted) return 0;
        if (message.kind == CHANNEL_END) return plan_fail_with(context, ESRCH, "process died", NULL);
        return plan_malformed(context);
    }
}

/* Takes the listener of the process's filter to its agent. The process waits for the next RELEASE. */
static int hand_over(struct launch *launch, const struct wire_record *record) {
    struct plan_context *context = &launch->context;
    PLAN_FD agent = agent_connect(context, record);
    if (agent < 0) {
        /* A process that has died may have told why. */
        if (context->failure->error == ESRCH) await(launch, CHANNEL_LISTENER);
        return -1;
    }
    if (await(launch, CHANNEL_LISTENER) < 0 || agent_send(context, record, agent, launch->listener) < 0)
        return -1;
    close_fd(&launch->listener);
    context->listened = true;
    return 0;
}

/* The launcher's walk, up to the gate or to the process's exec. */
static int follow(struct launch *launch, struct wire_cursor operations) {
    struct plan_context *context = &launch->context;
    struct wire_record record;
    for (int32_t index = 0; wire_next(&operations, &record); index++) {
        context->failure->operation = index;
        int result = 0;
        switch (record.header.code) {
        case PLAN_OP_RENDEZVOUS:
            result = await(launch, CHANNEL_REACHED);
            break;
        case PLAN_OP_RELEASE:
            if (channel_signal(context->sync, CHANNEL_RELEASE) < 0)
                result = plan_fail(context, "sendmsg", NULL);
            break;
        case PLAN_OP_PARENT_LISTENER:
            result = hand_over(launch, &record);
            break;
        case PLAN_OP_GATE:
            return context->listened ? 0 : await(launch, CHANNEL_READY);
        default:
            if (record.header.code & PLAN_HEADER_PARENT_BIT) result = interpret_parent(context, &record);
        }
        if (result < 0) return -1;
    }
    return await(launch, CHANNEL_END);
}

int launch_run(const uint8_t *plan, size_t length, const struct launch_stdio *stdio, int join_pidfd,
               unsigned int flags, struct launch_process *out, struct plan_error *failure) {
    struct launch launch = {
        .context = {.sync = -1,
                    .join = join_pidfd,
                    .proc = -1,
                    .root = -1,
                    .gate = -1,
                    .null = -1,
                    .empty = -1,
                    .directory = -1,
                    .die_together = (flags & LAUNCH_DIE_TOGETHER) != 0,
                    .failure = failure},
        .process = {.pid = 0, .pidfd = -1, .gate = -1, .console = -1},
        .for_parent = (flags & LAUNCH_FOR_PARENT) != 0,
        .listener = -1,
    };
    memset(failure, 0, sizeof(*failure));
    failure->operation = -1;
    struct wire_cursor operations;
    struct wire_record record;
    if (plan_open(&launch.context, plan, length, &operations, &record) < 0) return -1;
    if (clone_process(&launch, &record, operations, stdio) < 0) return abandon(&launch);
    if (follow(&launch, operations) < 0) return abandon(&launch);
    if (launch.context.flags & PLAN_LAUNCH_GATE_WAIT) {
        launch.process.gate = launch.context.sync;
        launch.context.sync = -1;
    }
    close_fd(&launch.context.sync);
    close_fd(&launch.context.proc);
    *out = launch.process;
    memset(failure, 0, sizeof(*failure));
    return 0;
}

int launch_process(const uint8_t *plan, size_t length, const struct launch_stdio *stdio, int join_pidfd,
                   struct launch_process *out, struct plan_error *failure) {
    return launch_run(plan, length, stdio, join_pidfd, LAUNCH_DIE_TOGETHER, out, failure);
}

int launch_open_gate(struct launch_process *process, struct plan_error *failure) {
    struct launch launch = {
        .context = {.sync = process->gate, .failure = failure},
        .process = {.pid = process->pid, .pidfd = -1, .gate = -1, .console = -1},
        .listener = -1,
    };
    memset(failure, 0, sizeof(*failure));
    failure->operation = -1;
    process->gate = -1;
    int result = 0;
    if (channel_signal(launch.context.sync, CHANNEL_RELEASE) < 0)
        result = plan_fail_with(&launch.context, ESRCH, "process died", NULL);
    if (result == 0) result = await(&launch, CHANNEL_END);
    close_fd(&launch.context.sync);
    return result;
}
