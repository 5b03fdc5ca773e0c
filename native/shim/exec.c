/*
 * Exec processes. The client gets EXIT after all output. A process in the background that inherited the pipe
 * does not delay it for ever: what the pipe held at the exit is delivered however long the client takes to
 * read it, and what comes later for EXEC_GRACE_MS.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void exec_start(struct shim *shim, struct connection *connection, const struct frame *frame) {
    const uint8_t *plan;
    size_t length;
    uint32_t options = 0;
    field_u32(frame, SHIM_FIELD_OPTIONS, &options);
    if (!field_bytes(frame, SHIM_FIELD_PLAN, &plan, &length)) {
        request_fail(shim, connection, frame->request, EINVAL, "exec", NULL);
        return;
    }
    if (shim->container.state != SHIM_STATE_RUNNING) {
        request_fail(shim, connection, frame->request, ESRCH, "exec", NULL);
        return;
    }
    struct exec *exec = &connection->exec;
    struct stdio_ends ends;
    bool terminal = options & SHIM_OPTION_TERMINAL, keep_input = options & SHIM_OPTION_STDIN;
    int error = input_make_stdio(terminal, keep_input, &ends);
    if (error != 0) {
        request_fail(shim, connection, frame->request, error, "pipe2", NULL);
        return;
    }
    struct launch_process process = {.pid = -1, .pidfd = -1, .gate = -1, .console = -1};
    struct plan_error failure = {0};
    int result = launch_process(plan, length, &ends.child, shim->container.process.pidfd, &process, &failure);
    input_close_child_ends(&ends);
    if (result == 0 && process.gate >= 0) {
        result = launch_open_gate(&process, &failure);
        if (result < 0) {
            /* The process has failed or is about to end; the reaper takes it. */
            syscall(SYS_pidfd_send_signal, process.pidfd, SIGKILL, NULL, 0);
            close(process.pidfd);
            if (process.console >= 0) close(process.console);
        }
    }
    if (result < 0) {
        input_close_all(&ends);
        request_fail_plan(shim, connection, frame->request, &failure);
        return;
    }
    if (terminal) {
        ends.out = process.console;
        loop_set_nonblocking(ends.out);
        if (keep_input) ends.in = fcntl(ends.out, F_DUPFD_CLOEXEC, 3);
    }
    *exec = (struct exec){.pid = process.pid,
                          .pidfd = process.pidfd,
                          .terminal = terminal,
                          .kill_on_disconnect = options & SHIM_OPTION_KILL_ON_DISCONNECT};
    uint16_t slot = connection->socket.slot;
    watch_open(&exec->output[0].watch, ends.out, WATCH_EXEC_OUT, slot);
    watch_open(&exec->output[1].watch, ends.err, WATCH_EXEC_ERR, slot);
    watch_open(&exec->input, ends.in, WATCH_EXEC_IN, slot);
    connection->mode = CONNECTION_EXEC;
    connection->stream_request = frame->request;
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_OK, frame->request);
    reply_u32(&reply, SHIM_FIELD_PID, (uint32_t)process.pid);
    connection_send(shim, connection, &reply);
}

void exec_readable(struct shim *shim, struct connection *connection, enum cri_stream stream) {
    struct output *output = &connection->exec.output[stream];
    /* A few chunks at most, so that one busy process does not keep the loop. */
    for (unsigned round = 0; round < 8 && output->watch.fd >= 0; round++) {
        bool detached = connection->mode == CONNECTION_DETACHED;
        size_t room = detached ? sizeof shim->chunk : connection_data_room(connection);
        if (room == 0) return;
        uint8_t *at = detached ? shim->chunk : connection_data_begin(connection);
        ssize_t n = read(output->watch.fd, at, room);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            output->owed = 0;
            return;
        }
        if (n <= 0) {
            watch_close(shim->epoll, &output->watch);
            output->owed = 0;
            return;
        }
        output->owed = output->owed > (size_t)n ? output->owed - (size_t)n : 0;
        if (!detached) {
            connection_data_end(connection, stream == CRI_STDOUT ? SHIM_MESSAGE_STDOUT : SHIM_MESSAGE_STDERR,
                                (size_t)n);
            connection_flush(shim, connection);
        }
        if ((size_t)n < room) return;
    }
}

int exec_signal(const struct exec *exec, int signal) {
    if (exec->exited) return ESRCH;
    int error = syscall(SYS_pidfd_send_signal, exec->pidfd, signal, NULL, 0) < 0 ? errno : 0;
    /* It has not been reaped, so its pid is its own; what it started in its process group goes with it. */
    if (signal == SIGKILL && getpgid(exec->pid) == exec->pid) kill(-exec->pid, signal);
    return error;
}

void exec_exited(struct shim *shim, struct connection *connection, int status) {
    struct exec *exec = &connection->exec;
    exec->exited = true;
    exec->signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
    exec->exit_code = WIFSIGNALED(status) ? 128 + exec->signal : (uint32_t)WEXITSTATUS(status);
    exec->deadline = shim->now + EXEC_GRACE_MS;
    close(exec->pidfd);
    exec->pidfd = -1;
    watch_close(shim->epoll, &exec->input);
    for (unsigned i = 0; i < 2; i++) {
        output_note_owed(&exec->output[i]);
        exec_readable(shim, connection, i);
    }
    exec_settle(shim, connection);
}

void exec_settle(struct shim *shim, struct connection *connection) {
    struct exec *exec = &connection->exec;
    if (connection->mode == CONNECTION_FREE || !exec->exited || connection->closing) return;
    for (unsigned i = 0; i < 2; i++) {
        const struct output *output = &exec->output[i];
        if (output->watch.fd >= 0 && (output->owed > 0 || shim->now < exec->deadline)) return;
    }
    watch_close(shim->epoll, &exec->output[0].watch);
    watch_close(shim->epoll, &exec->output[1].watch);
    if (connection->mode == CONNECTION_DETACHED) {
        connection_release(shim, connection);
        return;
    }
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_EXIT, connection->stream_request);
    reply_u32(&reply, SHIM_FIELD_EXIT_CODE, exec->exit_code);
    reply_u32(&reply, SHIM_FIELD_EXIT_SIGNAL, exec->signal);
    connection->closing = true;
    connection_send(shim, connection, &reply);
}

void exec_update(struct shim *shim, struct connection *connection) {
    bool room = connection->mode == CONNECTION_DETACHED || connection_data_room(connection) > 0;
    for (unsigned i = 0; i < 2; i++)
        watch_want(shim->epoll, &connection->exec.output[i].watch, room ? EPOLLIN : 0);
}
