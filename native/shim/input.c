/* Standard input: making a process's pipes, and passing on what clients send without buffering more than a
 * frame. */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void close_end(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

void input_close_child_ends(struct stdio_ends *ends) {
    close_end(&ends->child.in);
    close_end(&ends->child.out);
    close_end(&ends->child.err);
}

void input_close_all(struct stdio_ends *ends) {
    input_close_child_ends(ends);
    close_end(&ends->in);
    close_end(&ends->out);
    close_end(&ends->err);
}

/* A pipe whose end of ours does not block; the process's end is a file description of its own and does. */
static bool make_pipe(int *ours, int *theirs, bool we_read) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return false;
    *ours = ends[we_read ? 0 : 1];
    *theirs = ends[we_read ? 1 : 0];
    return loop_set_nonblocking(*ours);
}

int input_make_stdio(bool terminal, bool keep_input, struct stdio_ends *ends) {
    *ends = (struct stdio_ends){{-1, -1, -1}, -1, -1, -1};
    if (terminal) return 0;
    bool made =
        make_pipe(&ends->out, &ends->child.out, true) && make_pipe(&ends->err, &ends->child.err, true);
    if (made && keep_input) made = make_pipe(&ends->in, &ends->child.in, false);
    /* The shim's own descriptor 0 is /dev/null. */
    if (made && !keep_input) made = (ends->child.in = fcntl(0, F_DUPFD_CLOEXEC, 3)) >= 0;
    if (made) return 0;
    int error = errno;
    input_close_all(ends);
    return error;
}

static struct watch *target(struct shim *shim, struct connection *connection) {
    return connection->mode == CONNECTION_EXEC ? &connection->exec.input : &shim->container.input;
}

bool input_write(struct shim *shim, struct connection *connection, const struct frame *frame) {
    struct watch *input = target(shim, connection);
    connection->sent_input = true;
    while (input->fd >= 0 && connection->input_done < frame->length) {
        ssize_t n =
            write(input->fd, frame->payload + connection->input_done, frame->length - connection->input_done);
        if (n > 0) {
            connection->input_done += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (errno == EINTR) continue;
            connection->input_blocked = true;
            return false;
        } else {
            /* Nobody reads any more: what comes is thrown away, as a shell's pipe does with SIGPIPE ignored.
             */
            watch_close(shim->epoll, input);
        }
    }
    connection->input_done = 0;
    connection->input_blocked = false;
    return true;
}

void input_writable(struct shim *shim, struct watch *input) {
    watch_want(shim->epoll, input, 0);
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        struct connection *connection = &shim->connections[i];
        bool stream = connection->mode == CONNECTION_EXEC || connection->mode == CONNECTION_ATTACH;
        if (stream && connection->input_blocked && target(shim, connection) == input)
            connection_parse(shim, connection);
    }
}

/*
 * End of input of one client. An exec's pipe is closed with it; the container's only if it was made for one
 * client. A terminal has no end of input: a client who wants one sends the terminal's own end-of-file
 * character.
 */
void input_close(struct shim *shim, struct connection *connection) {
    if (connection->mode == CONNECTION_EXEC) {
        if (!connection->exec.terminal) watch_close(shim->epoll, &connection->exec.input);
    } else if (shim->container.options & SHIM_OPTION_STDIN_ONCE) {
        if (!(shim->container.options & SHIM_OPTION_TERMINAL))
            watch_close(shim->epoll, &shim->container.input);
        /* Others whose bytes wait for the process need not wait any more. */
        if (shim->container.input.fd < 0) input_writable(shim, &shim->container.input);
    }
}
