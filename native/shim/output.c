/*
 * The container's output: one chunk at a time from a pipe or the terminal to the log and to every attached
 * client. Nothing is read while the log is stalled or an attached client has no room, so that memory stays
 * bounded; the client is given ATTACH_STALL_MS to make room and is then dropped.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A busy container's pipe: fewer switches between it and the shim. */
#define BUSY_PIPE_BYTES (256 * 1024)

static bool is_attached(const struct connection *connection) {
    return connection->mode == CONNECTION_ATTACH && !connection->closing && !connection->lingers;
}

static size_t chunk_room(const struct shim *shim) {
    size_t room = sizeof shim->chunk;
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        if (!is_attached(&shim->connections[i])) continue;
        size_t free_bytes = connection_data_room(&shim->connections[i]);
        if (free_bytes < room) room = free_bytes;
    }
    return room;
}

static void copy_to_attached(struct shim *shim, enum cri_stream stream, size_t length) {
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        struct connection *connection = &shim->connections[i];
        if (!is_attached(connection)) continue;
        memcpy(connection_data_begin(connection), shim->chunk, length);
        connection_data_end(connection, stream == CRI_STDOUT ? SHIM_MESSAGE_STDOUT : SHIM_MESSAGE_STDERR,
                            length);
        connection_flush(shim, connection);
    }
}

static void flush_log(struct shim *shim) {
    if (!cri_log_flush(&shim->log)) shim->log_retry_at = shim->now + LOG_RETRY_MS;
}

static void end_of_stream(struct shim *shim, enum cri_stream stream) {
    struct output *output = &shim->container.output[stream];
    output->owed = 0;
    if ((shim->container.options & SHIM_OPTION_TERMINAL) && shim->container.state != SHIM_STATE_EXITED) {
        /* The container has closed its terminal and may open it again. */
        shim->container.hung = true;
        shim->log_retry_at = shim->now + LOG_RETRY_MS;
        return;
    }
    watch_close(shim->epoll, &output->watch);
    cri_log_finish(&shim->log, stream);
    flush_log(shim);
}

/* One chunk; false when there is nothing more to read now. */
static bool read_chunk(struct shim *shim, enum cri_stream stream) {
    struct output *output = &shim->container.output[stream];
    size_t room = shim->log.stalled ? 0 : chunk_room(shim);
    if (output->watch.fd < 0 || room == 0) return false;
    ssize_t n = read(output->watch.fd, shim->chunk, room);
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) {
        output->owed = 0;
        return false;
    }
    if (n <= 0) {
        end_of_stream(shim, stream);
        return false;
    }
    size_t length = (size_t)n;
    if (length == sizeof shim->chunk && shim->trim_at == 0)
        fcntl(output->watch.fd, F_SETPIPE_SZ, BUSY_PIPE_BYTES);
    if (length > 4096) shim->trim_at = shim->now + IDLE_TRIM_MS;
    output->owed = output->owed > length ? output->owed - length : 0;
    cri_log_append(&shim->log, stream, shim->chunk, length);
    copy_to_attached(shim, stream, length);
    flush_log(shim);
    return length == room || output->owed > 0;
}

void output_readable(struct shim *shim, enum cri_stream stream) {
    const struct output *output = &shim->container.output[stream];
    for (unsigned round = 0; round < 8 || output->owed > 0; round++)
        if (!read_chunk(shim, stream)) return;
}

void output_retry(struct shim *shim) {
    shim->container.hung = false;
    if (shim->log.stalled) flush_log(shim);
}

void output_note_owed(struct output *output, bool terminal) {
    int held = 0;
    output->owed = 0;
    /* A terminal counts only what its line discipline has taken; it is empty when a read says so. */
    if (output->watch.fd >= 0 && terminal)
        output->owed = TERMINAL_HOLDS_BYTES;
    else if (output->watch.fd >= 0 && ioctl(output->watch.fd, FIONREAD, &held) == 0 && held > 0)
        output->owed = (size_t)held;
}

bool output_drained(const struct shim *shim) {
    const struct output *output = shim->container.output;
    bool idle = output[0].owed == 0 && output[1].owed == 0;
    return idle && !shim->log.stalled;
}

void output_finish(struct shim *shim) {
    cri_log_finish(&shim->log, CRI_STDOUT);
    cri_log_finish(&shim->log, CRI_STDERR);
    flush_log(shim);
}

void output_empty(struct shim *shim) {
    flush_log(shim);
    for (unsigned i = 0; i < 2; i++) {
        struct output *output = &shim->container.output[i];
        output_note_owed(output, shim->container.options & SHIM_OPTION_TERMINAL);
        for (size_t before = output->owed + 1; output->owed > 0 && output->owed < before;) {
            before = output->owed;
            read_chunk(shim, i);
        }
    }
    output_finish(shim);
}

void output_update(struct shim *shim) {
    bool can = !shim->log.stalled && !shim->container.hung && chunk_room(shim) > 0;
    for (unsigned i = 0; i < 2; i++) {
        struct watch *watch = &shim->container.output[i].watch;
        if (watch->fd >= 0) watch_want(shim->epoll, watch, can ? EPOLLIN : 0);
    }
}
