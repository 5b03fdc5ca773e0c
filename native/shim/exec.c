/*
 * Exec processes. The client gets EXIT after all output. A process in the background that inherited the pipe
 * does not delay it for ever: what the pipe held at the exit is delivered however long the client takes to
 * read it, and what comes later for EXEC_GRACE_MS.
 *
 *   launching (input_blocked) ──exec_launched──▶ running ──exec_exited──▶ exited ──exec_settle──▶ EXIT sent
 *
 * A client may go at any of these: exec_abandon().
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

bool exec_any_launching(const struct shim *shim) {
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        const struct connection *connection = &shim->connections[i];
        bool exec = connection->mode == CONNECTION_EXEC || connection->mode == CONNECTION_DETACHED;
        if (exec && connection->exec.launch.fd >= 0) return true;
    }
    return false;
}

static bool has_hung_up(int socket) {
    struct pollfd peer = {.fd = socket, .events = POLLRDHUP};
    return poll(&peer, 1, 0) > 0;
}

void exec_start(struct shim *shim, struct connection *connection, const struct frame *frame) {
    struct exec_launch launch = {.join = shim->container.process.pidfd};
    uint32_t options = 0;
    char program[4096];
    field_u32(frame, SHIM_FIELD_OPTIONS, &options);
    if (field_text(frame, SHIM_FIELD_PROGRAM, program, sizeof program)) launch.program = program;
    if (!field_bytes(frame, SHIM_FIELD_PLAN, &launch.plan, &launch.length)) {
        request_fail(shim, connection, frame->request, EINVAL, "exec", NULL);
        return;
    }
    if (shim->container.state != SHIM_STATE_RUNNING) {
        request_fail(shim, connection, frame->request, ESRCH, "exec", NULL);
        return;
    }
    if ((options & SHIM_OPTION_KILL_ON_DISCONNECT) && has_hung_up(connection->socket.fd)) {
        /* It gave up while we were stuck: what nobody waits for is not begun. */
        connection_close(shim, connection);
        return;
    }
    struct stdio_ends ends;
    bool terminal = options & SHIM_OPTION_TERMINAL, keep_input = options & SHIM_OPTION_STDIN;
    int channel, error = input_make_stdio(terminal, keep_input, &ends);
    if (error != 0) {
        request_fail(shim, connection, frame->request, error, "pipe2", NULL);
        return;
    }
    launch.stdio = ends.child;
    pid_t launcher = exec_launch_fork(&launch, &channel);
    if (launcher < 0) {
        error = errno;
        input_close_all(&ends);
        request_fail(shim, connection, frame->request, error, "fork", NULL);
        return;
    }
    input_close_child_ends(&ends);
    struct exec *exec = &connection->exec;
    *exec = (struct exec){.launcher = launcher,
                          .request = frame->request,
                          .console = -1,
                          .input_end = ends.in,
                          .terminal = terminal,
                          .keep_input = keep_input,
                          .kill_on_disconnect = options & SHIM_OPTION_KILL_ON_DISCONNECT};
    uint16_t slot = connection->socket.slot;
    watch_open(&exec->launch, channel, WATCH_EXEC_LAUNCH, slot);
    watch_open(&exec->output[0].watch, ends.out, WATCH_EXEC_OUT, slot);
    watch_open(&exec->output[1].watch, ends.err, WATCH_EXEC_ERR, slot);
    exec->input.fd = -1;
    connection->mode = CONNECTION_EXEC;
    connection->stream_request = frame->request;
    connection->input_blocked = true;
}

/* Closes what is open of an exec that has not become a process, or that nobody wants to hear of any more. */
static void close_ends(struct shim *shim, struct exec *exec) {
    watch_close(shim->epoll, &exec->launch);
    watch_close(shim->epoll, &exec->output[0].watch);
    watch_close(shim->epoll, &exec->output[1].watch);
    watch_close(shim->epoll, &exec->input);
    if (exec->console >= 0) close(exec->console);
    if (exec->input_end >= 0) close(exec->input_end);
    exec->console = exec->input_end = -1;
}

static void launch_failed(struct shim *shim, struct connection *connection,
                          const struct plan_error *failure) {
    struct exec *exec = &connection->exec;
    close_ends(shim, exec);
    if (connection->mode == CONNECTION_DETACHED) {
        connection_release(shim, connection);
        return;
    }
    connection->mode = CONNECTION_CONTROL;
    connection->input_blocked = false;
    request_fail_plan(shim, connection, exec->request, failure);
    if (connection->region != NULL) connection_parse(shim, connection);
}

void exec_launched(struct shim *shim, struct connection *connection) {
    struct exec *exec = &connection->exec;
    struct plan_error failure;
    if (!exec_launch_result(exec->launch.fd, &exec->console, &exec->pid, &failure)) return;
    watch_close(shim->epoll, &exec->launch);
    if (exec->pid > 0 && exec->terminal && exec->console < 0) {
        kill(exec->pid, SIGKILL);
        failure = (struct plan_error){.operation = -1, .error = EIO, .syscall = "terminal"};
        exec->pid = 0;
    }
    if (exec->pid <= 0) {
        launch_failed(shim, connection, &failure);
        shim_reap(shim);
        return;
    }
    uint16_t slot = connection->socket.slot;
    if (exec->terminal) {
        loop_set_nonblocking(exec->console);
        watch_open(&exec->output[0].watch, exec->console, WATCH_EXEC_OUT, slot);
        if (exec->keep_input) exec->input_end = fcntl(exec->console, F_DUPFD_CLOEXEC, 3);
        exec->console = -1;
    }
    watch_open(&exec->input, exec->input_end, WATCH_EXEC_IN, slot);
    exec->input_end = -1;
    if (connection->mode == CONNECTION_DETACHED) {
        exec_abandon(shim, connection);
    } else {
        connection->input_blocked = false;
        struct reply reply;
        reply_begin(&reply, SHIM_MESSAGE_OK, exec->request);
        reply_u32(&reply, SHIM_FIELD_PID, (uint32_t)exec->pid);
        connection_send(shim, connection, &reply);
        if (connection->region != NULL) connection_parse(shim, connection);
    }
    /* It may have ended before it was known. */
    shim_reap(shim);
}

void exec_abandon(struct shim *shim, struct connection *connection) {
    struct exec *exec = &connection->exec;
    connection->mode = CONNECTION_DETACHED;
    watch_close(shim->epoll, &exec->input);
    if (exec->launch.fd >= 0) return;
    if (!exec->kill_on_disconnect) {
        exec_settle(shim, connection);
        return;
    }
    /* Killed, it needs no place any more, however long it takes to die. */
    exec_signal(exec, SIGKILL);
    close_ends(shim, exec);
    connection_release(shim, connection);
}

void exec_readable(struct shim *shim, struct connection *connection, enum cri_stream stream) {
    struct output *output = &connection->exec.output[stream];
    /* A few chunks at most, so that one busy process does not keep the loop; but all that is owed. */
    for (unsigned round = 0; (round < 8 || output->owed > 0) && output->watch.fd >= 0; round++) {
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
        if ((size_t)n < room && output->owed == 0) return;
    }
}

int exec_signal(const struct exec *exec, int signal) {
    if (exec->exited || exec->pid <= 0) return ESRCH;
    /* It is our child and has not been reaped, so its pid is its own. */
    int error = kill(exec->pid, signal) < 0 ? errno : 0;
    /* What it started in its process group goes with it. */
    if (signal == SIGKILL && getpgid(exec->pid) == exec->pid) kill(-exec->pid, signal);
    return error;
}

void exec_exited(struct shim *shim, struct connection *connection, int status) {
    struct exec *exec = &connection->exec;
    exec->exited = true;
    exec->signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
    exec->exit_code = WIFSIGNALED(status) ? 128 + exec->signal : (uint32_t)WEXITSTATUS(status);
    exec->deadline = shim->now + EXEC_GRACE_MS;
    watch_close(shim->epoll, &exec->input);
    for (unsigned i = 0; i < 2; i++) {
        output_note_owed(&exec->output[i], exec->terminal);
        exec_readable(shim, connection, i);
    }
    exec_settle(shim, connection);
}

void exec_settle(struct shim *shim, struct connection *connection) {
    struct exec *exec = &connection->exec;
    if (connection->mode == CONNECTION_FREE || !exec->exited || connection->lingers) return;
    for (unsigned i = 0; i < 2; i++) {
        const struct output *output = &exec->output[i];
        if (output->owed > 0) exec_readable(shim, connection, i);
        if (connection->mode == CONNECTION_FREE) return;
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
    connection->lingers = true;
    connection_send(shim, connection, &reply);
}

void exec_update(struct shim *shim, struct connection *connection) {
    if (connection->exec.launch.fd >= 0) {
        watch_want(shim->epoll, &connection->exec.launch, EPOLLIN);
        return;
    }
    bool room = connection->mode == CONNECTION_DETACHED || connection_data_room(connection) > 0;
    for (unsigned i = 0; i < 2; i++)
        watch_want(shim->epoll, &connection->exec.output[i].watch, room ? EPOLLIN : 0);
}
