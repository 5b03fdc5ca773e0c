/* The requests of a connection: checked, done or passed on, answered. docs/shim-protocol.md describes each.
 */
#define _GNU_SOURCE
#include "plan_generated.h"
#include "shim.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

static void reply_ok(struct shim *shim, struct connection *connection, uint32_t request) {
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_OK, request);
    connection_send(shim, connection, &reply);
}

void request_fail(struct shim *shim, struct connection *connection, uint32_t request, int error,
                  const char *syscall, const char *path) {
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_ERROR, request);
    reply_u32(&reply, SHIM_FIELD_ERRNO, (uint32_t)error);
    reply_text(&reply, SHIM_FIELD_SYSCALL, syscall);
    if (path != NULL) reply_text(&reply, SHIM_FIELD_PATH, path);
    connection_send(shim, connection, &reply);
}

void request_fail_plan(struct shim *shim, struct connection *connection, uint32_t request,
                       const struct plan_error *failure) {
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_ERROR, request);
    reply_u32(&reply, SHIM_FIELD_ERRNO, (uint32_t)failure->error);
    reply_text(&reply, SHIM_FIELD_SYSCALL, failure->syscall);
    if (failure->path[0] != 0) reply_text(&reply, SHIM_FIELD_PATH, failure->path);
    reply_u32(&reply, SHIM_FIELD_OPERATION, (uint32_t)failure->operation);
    if (failure->said[0] != 0) reply_text(&reply, SHIM_FIELD_SAID, failure->said);
    connection_send(shim, connection, &reply);
}

static void put_exit(struct shim *shim, struct reply *reply) {
    const struct shim_exit_record *record = &shim->container.exit;
    reply_u32(reply, SHIM_FIELD_EXIT_CODE, record->exit_code);
    reply_u32(reply, SHIM_FIELD_EXIT_SIGNAL, record->signal);
    reply_u64(reply, SHIM_FIELD_EXITED_AT, record->exited_at_ns);
    reply_u32(reply, SHIM_FIELD_OOM_KILLED, record->oom_killed);
}

void request_reply_exit(struct shim *shim, struct connection *connection, uint32_t request) {
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_OK, request);
    put_exit(shim, &reply);
    connection_send(shim, connection, &reply);
}

static void handle_hello(struct shim *shim, struct connection *connection, const struct frame *frame) {
    uint32_t version = 0;
    if (!field_u32(frame, SHIM_FIELD_VERSION, &version) || version < 1) {
        connection->closing = true;
        request_fail(shim, connection, frame->request, EPROTONOSUPPORT, "hello", NULL);
        return;
    }
    connection->greeted = true;
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_HELLO, frame->request);
    reply_u32(&reply, SHIM_FIELD_VERSION, SHIM_PROTOCOL_VERSION);
    reply_u32(&reply, SHIM_FIELD_PLAN_BUILD, PLAN_FINGERPRINT);
    connection_send(shim, connection, &reply);
}

static void handle_status(struct shim *shim, struct connection *connection, uint32_t request) {
    const struct container *container = &shim->container;
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_OK, request);
    reply_u32(&reply, SHIM_FIELD_SHIM_PID, (uint32_t)getpid());
    reply_u64(&reply, SHIM_FIELD_SHIM_START_TIME, shim->start_time);
    reply_u32(&reply, SHIM_FIELD_PID, (uint32_t)container->process.pid);
    reply_u64(&reply, SHIM_FIELD_START_TIME, container->start_time);
    reply_u32(&reply, SHIM_FIELD_STATE, container->state);
    if (container->state == SHIM_STATE_EXITED) put_exit(shim, &reply);
    connection_send(shim, connection, &reply);
}

/* The exec that a request is about: this connection's own, or the one of the PID field; NULL for the
 * container. */
static struct exec *find_exec(struct shim *shim, struct connection *connection, const struct frame *frame,
                              bool *missing) {
    uint32_t pid = 0;
    *missing = false;
    if (connection->mode == CONNECTION_EXEC) return &connection->exec;
    if (!field_u32(frame, SHIM_FIELD_PID, &pid) || pid == (uint32_t)shim->container.process.pid) return NULL;
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        struct connection *other = &shim->connections[i];
        bool exec = other->mode == CONNECTION_EXEC || other->mode == CONNECTION_DETACHED;
        if (exec && !other->exec.exited && (uint32_t)other->exec.pid == pid) return &other->exec;
    }
    *missing = true;
    return NULL;
}

static void handle_kill(struct shim *shim, struct connection *connection, const struct frame *frame) {
    uint32_t signal = 0;
    bool missing;
    struct exec *exec = find_exec(shim, connection, frame, &missing);
    int error = 0;
    if (!field_u32(frame, SHIM_FIELD_SIGNAL, &signal) || signal > 64)
        error = EINVAL;
    else if (missing)
        error = ESRCH;
    else if (exec != NULL)
        error = exec_signal(exec, (int)signal);
    else if (shim->container.state == SHIM_STATE_EXITED || shim->container.state == 0)
        error = ESRCH;
    else if (syscall(SYS_pidfd_send_signal, shim->container.process.pidfd, (int)signal, NULL, 0) < 0)
        error = errno;
    if (error != 0)
        request_fail(shim, connection, frame->request, error, "pidfd_send_signal", NULL);
    else
        reply_ok(shim, connection, frame->request);
}

static void handle_resize(struct shim *shim, struct connection *connection, const struct frame *frame) {
    uint32_t width = 0, height = 0;
    bool missing;
    struct exec *exec = find_exec(shim, connection, frame, &missing);
    int terminal = -1, error = 0;
    if (exec != NULL)
        terminal = exec->terminal ? exec->output[0].watch.fd : -1;
    else if (!missing && (shim->container.options & SHIM_OPTION_TERMINAL))
        terminal = shim->container.output[0].watch.fd;
    if (!field_u32(frame, SHIM_FIELD_WIDTH, &width) || !field_u32(frame, SHIM_FIELD_HEIGHT, &height) ||
        width > 65535 || height > 65535) {
        error = EINVAL;
    } else if (missing || terminal < 0) {
        error = missing ? ESRCH : ENOTTY;
    } else {
        struct winsize size = {.ws_col = (unsigned short)width, .ws_row = (unsigned short)height};
        if (ioctl(terminal, TIOCSWINSZ, &size) < 0) error = errno;
    }
    if (error != 0)
        request_fail(shim, connection, frame->request, error, "ioctl TIOCSWINSZ", NULL);
    else
        reply_ok(shim, connection, frame->request);
}

static void handle_attach(struct shim *shim, struct connection *connection, uint32_t request) {
    if (shim->container.state == 0 || shim->container.settled) {
        request_fail(shim, connection, request, ESRCH, "attach", NULL);
        return;
    }
    connection->mode = CONNECTION_ATTACH;
    connection->stream_request = request;
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_OK, request);
    reply_u32(&reply, SHIM_FIELD_OPTIONS, shim->container.options);
    connection_send(shim, connection, &reply);
}

static void handle_delete(struct shim *shim, struct connection *connection, const struct frame *frame) {
    uint32_t force = 0;
    field_u32(frame, SHIM_FIELD_FORCE, &force);
    uint32_t state = shim->container.state;
    if (state != SHIM_STATE_EXITED && state != 0 && force == 0) {
        request_fail(shim, connection, frame->request, EBUSY, "delete", NULL);
        return;
    }
    connection->deletes = true;
    connection->forces |= force != 0;
    connection->delete_request = frame->request;
    if (state != SHIM_STATE_EXITED) container_kill(shim);
    container_settle(shim);
}

static void handle_control(struct shim *shim, struct connection *connection, const struct frame *frame) {
    switch (frame->type) {
    case SHIM_MESSAGE_LAUNCH:
        container_launch(shim, connection, frame);
        break;
    case SHIM_MESSAGE_START:
        container_start(shim, connection, frame->request);
        break;
    case SHIM_MESSAGE_KILL:
        handle_kill(shim, connection, frame);
        break;
    case SHIM_MESSAGE_WAIT:
        connection->waits = true;
        connection->wait_request = frame->request;
        container_settle(shim);
        break;
    case SHIM_MESSAGE_REOPEN_LOG: {
        int error = cri_log_reopen(&shim->log);
        if (error != 0)
            request_fail(shim, connection, frame->request, error, "open", shim->log.path);
        else
            reply_ok(shim, connection, frame->request);
        break;
    }
    case SHIM_MESSAGE_RESIZE:
        handle_resize(shim, connection, frame);
        break;
    case SHIM_MESSAGE_STATUS:
        handle_status(shim, connection, frame->request);
        break;
    case SHIM_MESSAGE_DELETE:
        handle_delete(shim, connection, frame);
        break;
    case SHIM_MESSAGE_EXEC:
        exec_start(shim, connection, frame);
        break;
    case SHIM_MESSAGE_ATTACH:
        handle_attach(shim, connection, frame->request);
        break;
    default:
        request_fail(shim, connection, frame->request, ENOSYS, "message", NULL);
    }
}

bool request_handle(struct shim *shim, struct connection *connection, const struct frame *frame) {
    bool stream = connection->mode == CONNECTION_EXEC || connection->mode == CONNECTION_ATTACH;
    if (stream && frame->type == SHIM_MESSAGE_STDIN) return input_write(shim, connection, frame);
    if (!fields_valid(frame)) {
        connection->closing = true;
        request_fail(shim, connection, frame->request, EBADMSG, "fields", NULL);
    } else if (!connection->greeted && frame->type != SHIM_MESSAGE_HELLO) {
        connection->closing = true;
        request_fail(shim, connection, frame->request, EPROTO, "hello", NULL);
    } else if (frame->type == SHIM_MESSAGE_HELLO) {
        handle_hello(shim, connection, frame);
    } else if (!stream) {
        handle_control(shim, connection, frame);
    } else if (frame->type == SHIM_MESSAGE_STDIN_CLOSE) {
        connection->sent_input = true;
        input_close(shim, connection);
    } else if (frame->type == SHIM_MESSAGE_KILL) {
        handle_kill(shim, connection, frame);
    } else if (frame->type == SHIM_MESSAGE_RESIZE) {
        handle_resize(shim, connection, frame);
    } else {
        request_fail(shim, connection, frame->request, ENOSYS, "message", NULL);
    }
    return true;
}
