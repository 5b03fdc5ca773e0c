/*
 * `gantry-shim run ID`: set-up, the event loop, and reaping. Descriptor 3 is a socket to the daemon, the
 * first connection; the container comes with its LAUNCH request. All signals are blocked, so SIGTERM and
 * SIGHUP have no effect: a shim ends by DELETE, or on its own when its container has exited and its directory
 * has vanished.
 */
#define _GNU_SOURCE
#include "shim.h"
#include "../executor/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_CONNECTION 3

static void lower_oom_score(void) {
    /* Not permitted without CAP_SYS_RESOURCE, and then not needed for anything to work. */
    int fd = procfs_host_open("self/oom_score_adj", O_WRONLY);
    if (fd < 0) return;
    if (write(fd, "-999", 4) < 0) {
    }
    close(fd);
}

static bool set_up(struct shim *shim) {
    /* The C libraries' functions keep out those of their own, the first of the real-time signals among them.
     */
    const uint64_t all = UINT64_MAX;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
    /* What the daemon ignores (SIGPIPE) must not be ignored in the container. */
    for (int signal = 1; signal < NSIG; signal++) {
        if (signal != SIGKILL && signal != SIGSTOP)
            sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    }
    umask(022);
    /* Executed from a descriptor it would be called by that's number. */
    prctl(PR_SET_NAME, "gantry-shim", 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    lower_oom_score();
    shim->directory = shim->oom.own.fd = shim->oom.above.fd = shim->log.fd = shim->listen.fd = -1;
    shim->container.process.pidfd = shim->container.process.gate = -1;
    shim->container.input.fd = shim->container.output[0].watch.fd = shim->container.output[1].watch.fd = -1;
    shim->start_time = record_start_time(getpid());
    shim->now = loop_now_ms();
    shim->epoll = epoll_create1(EPOLL_CLOEXEC);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    int fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (shim->epoll < 0 || fd < 0) return false;
    watch_open(&shim->signals, fd, WATCH_SIGNALS, 0);
    fcntl(FIRST_CONNECTION, F_SETFD, FD_CLOEXEC);
    return watch_want(shim->epoll, &shim->signals, EPOLLIN) && connection_accept(shim, FIRST_CONNECTION);
}

static void process_ended(struct shim *shim, pid_t pid, int status) {
    if (pid == shim->container.process.pid && shim->container.process.pidfd >= 0) {
        container_exited(shim, status);
        return;
    }
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        struct connection *connection = &shim->connections[i];
        struct exec *exec = &connection->exec;
        if (connection->mode != CONNECTION_EXEC && connection->mode != CONNECTION_DETACHED) continue;
        if (pid == exec->launcher) {
            exec->launcher = 0;
            return;
        }
        if (exec->exited || pid != exec->pid) continue;
        exec_exited(shim, connection, status);
        return;
    }
}

static void reap_one(struct shim *shim, pid_t pid) {
    int status;
    if (pid > 0 && waitpid(pid, &status, WNOHANG | __WALL) == pid) process_ended(shim, pid, status);
}

/*
 * While an exec process is being launched only those are taken that are known: it may end before its launcher
 * has told us its pid. The others (orphans, intermediate processes) are taken afterwards.
 */
void shim_reap(struct shim *shim) {
    struct signalfd_siginfo info;
    while (read(shim->signals.fd, &info, sizeof info) > 0) {
    }
    int status;
    if (!exec_any_launching(shim)) {
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0;)
            process_ended(shim, pid, status);
        return;
    }
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        const struct connection *connection = &shim->connections[i];
        if (connection->mode != CONNECTION_EXEC && connection->mode != CONNECTION_DETACHED) continue;
        reap_one(shim, connection->exec.launcher);
        if (!connection->exec.exited) reap_one(shim, connection->exec.pid);
    }
    if (shim->container.process.pidfd >= 0) reap_one(shim, shim->container.process.pid);
}

static void accept_waiting(struct shim *shim) {
    int fd = accept4(shim->listen.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        connection_accept(shim, fd);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        shim->accept_again_at = shim->now + ACCEPT_PAUSE_MS;
}

static void dispatch(struct shim *shim, struct watch *watch, uint32_t events) {
    if (watch->fd < 0) return; /* closed by an earlier event of this round */
    struct connection *connection = &shim->connections[watch->slot];
    switch ((enum watch_kind)watch->kind) {
    case WATCH_SIGNALS:
        shim_reap(shim);
        break;
    case WATCH_LISTEN:
        accept_waiting(shim);
        break;
    case WATCH_CONTAINER_OUT:
        output_readable(shim, CRI_STDOUT);
        break;
    case WATCH_CONTAINER_ERR:
        output_readable(shim, CRI_STDERR);
        break;
    case WATCH_EXEC_OUT:
        exec_readable(shim, connection, CRI_STDOUT);
        break;
    case WATCH_EXEC_ERR:
        exec_readable(shim, connection, CRI_STDERR);
        break;
    case WATCH_EXEC_LAUNCH:
        exec_launched(shim, connection);
        break;
    case WATCH_OOM:
        oom_look(shim);
        break;
    case WATCH_CONTAINER_IN:
    case WATCH_EXEC_IN:
        input_writable(shim, watch);
        break;
    case WATCH_CONNECTION:
        if (events & EPOLLOUT) connection_flush(shim, connection);
        if (watch->fd >= 0 && (events & ~(uint32_t)EPOLLOUT)) connection_readable(shim, connection);
        break;
    }
}

static void trim(struct shim *shim) {
    shim->trim_at = 0;
    cri_log_trim(&shim->log);
    madvise(shim->chunk, sizeof shim->chunk, MADV_DONTNEED);
}

/* What is due by time, and what each watch wants next. Returns the time to wait, -1 for ever. */
static int housekeeping(struct shim *shim) {
    uint64_t next = UINT64_MAX;
#define DUE(at, action)                                                                                      \
    do {                                                                                                     \
        if ((at) <= shim->now)                                                                               \
            action;                                                                                          \
        else if ((at) < next)                                                                                \
            next = (at);                                                                                     \
    } while (0)
    if (shim->log.stalled || shim->container.hung) {
        if (shim->log_retry_at <= shim->now) output_retry(shim);
        if (shim->log.stalled || shim->container.hung) next = shim->log_retry_at;
    }
    if (shim->trim_at != 0) DUE(shim->trim_at, trim(shim));
    if (shim->container.state == SHIM_STATE_EXITED) {
        container_settle(shim);
        if (!shim->container.settled && shim->container.exit_deadline < next)
            next = shim->container.exit_deadline;
        if (shim->vanished_check_at <= shim->now) {
            if (shim->container.settled && record_directory_vanished(shim)) shim->finished = true;
            shim->vanished_check_at = shim->now + VANISHED_CHECK_MS;
        }
        if (shim->vanished_check_at < next) next = shim->vanished_check_at;
        if (shim->container.unrecorded) DUE(shim->record_retry_at, container_record(shim));
    }
    uint16_t used = 0;
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        struct connection *connection = &shim->connections[i];
        if (connection->mode == CONNECTION_ATTACH && connection->stalled_since != 0)
            DUE(connection->stalled_since + ATTACH_STALL_MS, connection_close(shim, connection));
        if (connection->mode == CONNECTION_EXEC || connection->mode == CONNECTION_DETACHED) {
            exec_settle(shim, connection);
            if (connection->mode != CONNECTION_FREE) exec_update(shim, connection);
            if (connection->exec.exited && connection->exec.deadline > shim->now &&
                connection->exec.deadline < next)
                next = connection->exec.deadline;
        }
        connection_update(shim, connection);
        if (connection->mode != CONNECTION_FREE) used++;
    }
#undef DUE
    output_update(shim);
    /* With every place taken new clients wait in the backlog. */
    bool place = used < SHIM_MAX_CONNECTIONS && shim->accept_again_at <= shim->now;
    watch_want(shim->epoll, &shim->listen, place ? EPOLLIN : 0);
    if (shim->accept_again_at > shim->now && shim->accept_again_at < next) next = shim->accept_again_at;
    if (next == UINT64_MAX) return -1;
    return next <= shim->now ? 0 : next - shim->now > 60000 ? 60000 : (int)(next - shim->now);
}

int shim_main(int argc, char **argv) {
    (void)argc;
    (void)argv;
    static struct shim shim;
    if (!set_up(&shim)) return 1;
    while (!shim.finished) {
        struct epoll_event events[16];
        int timeout = housekeeping(&shim);
        if (shim.finished) break;
        int count = epoll_wait(shim.epoll, events, 16, timeout);
        shim.now = loop_now_ms();
        for (int i = 0; i < count && !shim.finished; i++)
            dispatch(&shim, events[i].data.ptr, events[i].events);
    }
    return 0;
}
