/*
 * Connections: bounded buffers, framing, and who waits for whom. Bytes are taken from the socket only while
 * there is room for them and no earlier ones wait for a process; what a client does not read stays in its
 * buffer, and whoever fills that buffer stops reading its source.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define REGION_BYTES (CONNECTION_OUT_BYTES + CONNECTION_IN_BYTES)

static void *map(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Takes over fd; false, and closed, when there is no place or the peer is neither us nor root. */
bool connection_accept(struct shim *shim, int fd) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    uint16_t slot = 0;
    while (slot < SHIM_MAX_CONNECTIONS && shim->connections[slot].mode != CONNECTION_FREE)
        slot++;
    uint8_t *region = NULL;
    if (slot < SHIM_MAX_CONNECTIONS && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
        (peer.uid == 0 || peer.uid == geteuid()) && loop_set_nonblocking(fd))
        region = map(REGION_BYTES);
    if (region == NULL) {
        close(fd);
        return false;
    }
    struct connection *connection = &shim->connections[slot];
    memset(connection, 0, sizeof *connection);
    watch_open(&connection->socket, fd, WATCH_CONNECTION, slot);
    connection->mode = CONNECTION_CONTROL;
    connection->region = region;
    connection->out = (struct buffer){.data = region, .capacity = CONNECTION_OUT_BYTES};
    connection->in = (struct buffer){.data = region + CONNECTION_OUT_BYTES, .capacity = CONNECTION_IN_BYTES};
    connection->exec.launch.fd = connection->exec.console = connection->exec.input_end = -1;
    connection->exec.input.fd = connection->exec.output[0].watch.fd = connection->exec.output[1].watch.fd =
        -1;
    if (slot >= shim->connections_end) shim->connections_end = (uint16_t)(slot + 1);
    return true;
}

/* Makes the slot free again. */
void connection_release(struct shim *shim, struct connection *connection) {
    connection->mode = CONNECTION_FREE;
    while (shim->connections_end > 0 && shim->connections[shim->connections_end - 1].mode == CONNECTION_FREE)
        shim->connections_end--;
}

static void drop_large(struct connection *connection) {
    if (connection->large == 0) return;
    munmap(connection->in.data, connection->large);
    connection->large = 0;
    connection->in =
        (struct buffer){.data = connection->region + CONNECTION_OUT_BYTES, .capacity = CONNECTION_IN_BYTES};
}

void connection_close(struct shim *shim, struct connection *connection) {
    uint8_t mode = connection->mode;
    if (mode == CONNECTION_FREE || mode == CONNECTION_DETACHED) return;
    watch_close(shim->epoll, &connection->socket);
    drop_large(connection);
    munmap(connection->region, REGION_BYTES);
    connection->region = NULL;
    connection->input_blocked = connection->closing = false;
    connection->lingers = false;
    if (mode == CONNECTION_EXEC) {
        exec_abandon(shim, connection);
        return;
    }
    if (mode == CONNECTION_ATTACH && connection->sent_input) input_close(shim, connection);
    /* Without its daemon a shim that has not launched anything has nothing to do. */
    if (shim->container.state == 0) shim->finished = true;
    connection_release(shim, connection);
}

void connection_flush(struct shim *shim, struct connection *connection) {
    struct buffer *out = &connection->out;
    while (buffer_used(out) > 0) {
        ssize_t n = send(connection->socket.fd, out->data + out->start, buffer_used(out), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            if (connection->stalled_since == 0) connection->stalled_since = shim->now;
            return;
        }
        if (n <= 0) {
            connection_close(shim, connection);
            return;
        }
        buffer_consume(out, (size_t)n);
    }
    connection->stalled_since = 0;
    if (connection->closing) connection_close(shim, connection);
}

void connection_send(struct shim *shim, struct connection *connection, const struct reply *reply) {
    if (connection->region == NULL) return;
    struct buffer *out = &connection->out;
    buffer_compact(out);
    if (buffer_room(out) < reply->length) {
        /* Only a client that sends requests and never reads the answers comes here. */
        connection_close(shim, connection);
        return;
    }
    memcpy(out->data + out->end, reply->bytes, reply->length);
    out->end += reply->length;
    connection_flush(shim, connection);
}

size_t connection_data_room(const struct connection *connection) {
    /* A reply and the EXIT frame always fit beside the data. */
    size_t reserve = SHIM_FRAME_HEADER_BYTES + 2 * sizeof(struct reply), room = buffer_room(&connection->out);
    if (room < reserve + CONNECTION_MIN_ROOM) return 0;
    return room - reserve < SHIM_LIMIT_FRAME ? room - reserve : SHIM_LIMIT_FRAME;
}

uint8_t *connection_data_begin(struct connection *connection) {
    buffer_compact(&connection->out);
    return connection->out.data + connection->out.end + SHIM_FRAME_HEADER_BYTES;
}

void connection_data_end(struct connection *connection, uint16_t type, size_t length) {
    struct buffer *out = &connection->out;
    frame_header(out->data + out->end, (uint32_t)length, type, connection->stream_request);
    out->end += SHIM_FRAME_HEADER_BYTES + length;
}

/* Gives a frame with a plan a mapping of its own size. */
static bool grow(struct connection *connection, size_t size) {
    uint8_t *memory = map(size);
    if (memory == NULL) return false;
    size_t used = buffer_used(&connection->in);
    memcpy(memory, connection->in.data + connection->in.start, used);
    connection->in = (struct buffer){.data = memory, .capacity = size, .end = used};
    connection->large = size;
    return true;
}

void connection_parse(struct shim *shim, struct connection *connection) {
    struct frame frame;
    while (connection->region != NULL && !connection->closing && frame_peek(&connection->in, &frame)) {
        bool plan = frame.type == SHIM_MESSAGE_LAUNCH || frame.type == SHIM_MESSAGE_EXEC;
        size_t size = (size_t)frame.length + SHIM_FRAME_HEADER_BYTES;
        if (frame.length > (plan ? SHIM_LIMIT_PLAN_FRAME : SHIM_LIMIT_FRAME)) {
            connection->closing = true;
            request_fail(shim, connection, frame.request, EMSGSIZE, "frame", NULL);
            return;
        }
        if (buffer_used(&connection->in) < size) {
            buffer_compact(&connection->in);
            if (size > connection->in.capacity && !grow(connection, size)) connection_close(shim, connection);
            return;
        }
        if (!request_handle(shim, connection, &frame)) return;
        if (connection->region == NULL) return;
        buffer_consume(&connection->in, size);
        if (connection->input_blocked) return; /* an exec that is being launched */
        if (connection->large != 0 && buffer_used(&connection->in) == 0) drop_large(connection);
    }
}

void connection_readable(struct shim *shim, struct connection *connection) {
    struct buffer *in = &connection->in;
    if (connection->lingers) in->start = in->end = 0;
    buffer_compact(in);
    if (buffer_room(in) == 0) {
        /* Woken by a hang-up while earlier bytes wait for the process: nobody is there any more. */
        connection_close(shim, connection);
        return;
    }
    ssize_t n = recv(connection->socket.fd, in->data + in->end, buffer_room(in), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        connection_close(shim, connection);
        return;
    }
    in->end += (size_t)n;
    if (!connection->input_blocked && !connection->lingers) connection_parse(shim, connection);
}

void connection_update(struct shim *shim, struct connection *connection) {
    if (connection->region == NULL) return;
    uint32_t events = EPOLLRDHUP;
    if (connection->lingers || (!connection->closing && !connection->input_blocked)) events |= EPOLLIN;
    if (buffer_used(&connection->out) > 0) events |= EPOLLOUT;
    if (!watch_want(shim->epoll, &connection->socket, events)) connection_close(shim, connection);
    if (connection->region != NULL && connection->input_blocked) {
        struct watch *input =
            connection->mode == CONNECTION_EXEC ? &connection->exec.input : &shim->container.input;
        watch_want(shim->epoll, input, EPOLLOUT);
    }
}
