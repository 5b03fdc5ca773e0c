/* The container's life: launched, started, exited, deleted. */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Clients beyond SHIM_MAX_CONNECTIONS wait here; the kernel cuts it to net.core.somaxconn. */
#define LISTEN_BACKLOG 4096

/* The socket, bound by its name in the directory, as the whole path may be longer than sun_path. */
static int listen_in_directory(struct shim *shim) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return errno;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sock"};
    mode_t before = umask(0177);
    int result = fchdir(shim->directory);
    if (result == 0) {
        unlink("sock");
        result = bind(fd, (struct sockaddr *)&address, sizeof address);
    }
    if (result == 0) result = listen(fd, LISTEN_BACKLOG);
    int error = result == 0 ? 0 : errno;
    umask(before);
    if (chdir("/") < 0 && error == 0) error = errno;
    if (error != 0) {
        close(fd);
        return error;
    }
    watch_open(&shim->listen, fd, WATCH_LISTEN, 0);
    return 0;
}

static void give_up(struct shim *shim) {
    if (shim->directory >= 0) record_remove_all(shim);
    shim->finished = true;
}

/* What has to be in place before there is a process. Reports its own failure. */
static bool prepare(struct shim *shim, struct connection *connection, const struct frame *frame,
                    struct stdio_ends *ends) {
    struct container *container = &shim->container;
    char group[4096];
    const uint8_t *log_path;
    size_t log_path_length;
    bool logs = field_bytes(frame, SHIM_FIELD_LOG_PATH, &log_path, &log_path_length);
    if (!field_u32(frame, SHIM_FIELD_OPTIONS, &container->options) ||
        !field_text(frame, SHIM_FIELD_DIRECTORY, shim->path, sizeof shim->path) ||
        (logs && !field_text(frame, SHIM_FIELD_LOG_PATH, shim->log.path, sizeof shim->log.path))) {
        request_fail(shim, connection, frame->request, EINVAL, "launch", NULL);
        return false;
    }
    shim->directory = open(shim->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (shim->directory < 0) {
        request_fail(shim, connection, frame->request, errno, "open", shim->path);
        return false;
    }
    int error = listen_in_directory(shim);
    if (error != 0) {
        request_fail(shim, connection, frame->request, error, "bind", shim->path);
        return false;
    }
    error = logs ? cri_log_open(&shim->log) : 0;
    if (error != 0) {
        request_fail(shim, connection, frame->request, error, "open", shim->log.path);
        return false;
    }
    if (field_text(frame, SHIM_FIELD_MEMORY_CGROUP, group, sizeof group)) oom_open(shim, group, false);
    error = input_make_stdio(container->options & SHIM_OPTION_TERMINAL,
                             container->options & SHIM_OPTION_STDIN, ends);
    if (error != 0) request_fail(shim, connection, frame->request, error, "pipe2", NULL);
    return error == 0;
}

static void adopt(struct shim *shim, struct stdio_ends *ends) {
    struct container *container = &shim->container;
    if (container->options & SHIM_OPTION_TERMINAL) {
        ends->out = container->process.console;
        loop_set_nonblocking(ends->out);
        if (container->options & SHIM_OPTION_STDIN) ends->in = fcntl(ends->out, F_DUPFD_CLOEXEC, 3);
    }
    watch_open(&container->output[0].watch, ends->out, WATCH_CONTAINER_OUT, 0);
    watch_open(&container->output[1].watch, ends->err, WATCH_CONTAINER_ERR, 0);
    watch_open(&container->input, ends->in, WATCH_CONTAINER_IN, 0);
    container->state = SHIM_STATE_CREATED;
}

/* An external runtime makes the group itself: only now it is there, and none was killed in it before. */
static void open_new_group(struct shim *shim, const struct frame *frame) {
    char group[4096];
    if (shim->oom.own.fd >= 0 || !field_text(frame, SHIM_FIELD_MEMORY_CGROUP, group, sizeof group)) return;
    oom_open(shim, group, true);
}

void container_launch(struct shim *shim, struct connection *connection, const struct frame *frame) {
    struct container *container = &shim->container;
    struct stdio_ends ends = {{-1, -1, -1}, -1, -1, -1};
    const uint8_t *plan;
    size_t length;
    if (container->state != 0 || shim->directory >= 0 ||
        !field_bytes(frame, SHIM_FIELD_PLAN, &plan, &length)) {
        request_fail(shim, connection, frame->request, container->state != 0 ? EALREADY : EINVAL, "launch",
                     NULL);
        return;
    }
    if (!prepare(shim, connection, frame, &ends)) {
        give_up(shim);
        return;
    }
    struct plan_error failure = {0};
    container->process = (struct launch_process){.pid = -1, .pidfd = -1, .gate = -1, .console = -1};
    int result = launch_process(plan, length, &ends.child, -1, &container->process, &failure);
    input_close_child_ends(&ends);
    if (result < 0) {
        request_fail_plan(shim, connection, frame->request, &failure);
        give_up(shim);
        return;
    }
    adopt(shim, &ends);
    open_new_group(shim, frame);
    container->start_time = record_start_time(container->process.pid);
    int error = record_write_pid(shim);
    if (error != 0) {
        request_fail(shim, connection, frame->request, error, "write pid record", shim->path);
        container_kill(shim);
        give_up(shim);
        return;
    }
    bool open_gate = container->process.gate >= 0 && (container->options & SHIM_OPTION_START_NOW);
    if (open_gate && launch_open_gate(&container->process, &failure) < 0) {
        request_fail_plan(shim, connection, frame->request, &failure);
        container_kill(shim);
        give_up(shim);
        return;
    }
    if (open_gate || container->process.gate < 0) container->state = SHIM_STATE_RUNNING;
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_OK, frame->request);
    reply_u32(&reply, SHIM_FIELD_SHIM_PID, (uint32_t)getpid());
    reply_u64(&reply, SHIM_FIELD_SHIM_START_TIME, shim->start_time);
    reply_u32(&reply, SHIM_FIELD_PID, (uint32_t)container->process.pid);
    reply_u64(&reply, SHIM_FIELD_START_TIME, container->start_time);
    connection_send(shim, connection, &reply);
}

void container_start(struct shim *shim, struct connection *connection, uint32_t request) {
    struct container *container = &shim->container;
    if (container->state != SHIM_STATE_CREATED) {
        request_fail(shim, connection, request, container->state == SHIM_STATE_RUNNING ? EALREADY : ESRCH,
                     "start", NULL);
        return;
    }
    struct plan_error failure = {0};
    if (launch_open_gate(&container->process, &failure) < 0) {
        request_fail_plan(shim, connection, request, &failure);
        container_kill(shim);
        return;
    }
    container->state = SHIM_STATE_RUNNING;
    struct reply reply;
    reply_begin(&reply, SHIM_MESSAGE_OK, request);
    connection_send(shim, connection, &reply);
}

void container_kill(struct shim *shim) {
    if (shim->container.process.pidfd >= 0)
        syscall(SYS_pidfd_send_signal, shim->container.process.pidfd, SIGKILL, NULL, 0);
}

void container_record(struct shim *shim) {
    const struct shim_exit_record *record = &shim->container.exit;
    shim->container.unrecorded = record_write(shim, "exit", record, sizeof *record) != 0;
    shim->record_retry_at = shim->now + RECORD_RETRY_MS;
}

void container_exited(struct shim *shim, int status) {
    struct container *container = &shim->container;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint32_t signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
    container->exit =
        (struct shim_exit_record){.magic = SHIM_EXIT_MAGIC,
                                  .version = 1,
                                  .exit_code = signal != 0 ? 128 + signal : (uint32_t)WEXITSTATUS(status),
                                  .signal = signal,
                                  .exited_at_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
                                  .oom_killed = oom_killed(shim, status),
                                  .init_pid = (uint32_t)container->process.pid};
    container->state = SHIM_STATE_EXITED;
    container->hung = false;
    /* Before anyone is told. A full disk must not keep it from those who wait; it is tried again. */
    container_record(shim);
    close(container->process.pidfd);
    container->process.pidfd = -1;
    if (container->process.gate >= 0) close(container->process.gate);
    container->process.gate = -1;
    watch_close(shim->epoll, &container->input);
    for (unsigned i = 0; i < 2; i++) {
        output_note_owed(&container->output[i], container->options & SHIM_OPTION_TERMINAL);
        output_readable(shim, i);
    }
    container->exit_deadline = shim->now + EXIT_DRAIN_MS;
    shim->vanished_check_at = shim->now + VANISHED_CHECK_MS;
    container_settle(shim);
}

static void tell(struct shim *shim, struct connection *connection) {
    struct container *container = &shim->container;
    if (connection->region == NULL) return;
    if (connection->mode == CONNECTION_ATTACH && !connection->closing && !connection->lingers) {
        struct reply reply;
        reply_begin(&reply, SHIM_MESSAGE_EXIT, connection->stream_request);
        reply_u32(&reply, SHIM_FIELD_EXIT_CODE, container->exit.exit_code);
        reply_u32(&reply, SHIM_FIELD_EXIT_SIGNAL, container->exit.signal);
        connection->lingers = true;
        connection_send(shim, connection, &reply);
    } else if (connection->waits) {
        connection->waits = false;
        request_reply_exit(shim, connection, connection->wait_request);
    }
}

void container_settle(struct shim *shim) {
    struct container *container = &shim->container;
    if (shim->finished) return;
    bool deletes = false, forces = false;
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        deletes |= shim->connections[i].deletes;
        forces |= shim->connections[i].forces;
    }
    if (container->state == SHIM_STATE_EXITED) {
        if (!container->settled) {
            for (unsigned i = 0; i < 2; i++)
                if (container->output[i].owed > 0) output_readable(shim, i);
            if (!output_drained(shim) && shim->now < container->exit_deadline) return;
            output_finish(shim);
            container->settled = true;
        }
        for (uint16_t i = 0; i < shim->connections_end; i++)
            tell(shim, &shim->connections[i]);
    }
    /* A full disk must not cost the last lines: unless forced, the deletion waits for them. */
    bool over = container->state == SHIM_STATE_EXITED || container->state == 0;
    if (deletes && over && (forces || output_drained(shim))) container_delete(shim);
}

void container_delete(struct shim *shim) {
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        struct connection *connection = &shim->connections[i];
        if (connection->mode == CONNECTION_EXEC || connection->mode == CONNECTION_DETACHED) {
            exec_signal(&connection->exec, SIGKILL);
            if (connection->exec.launcher > 0) kill(connection->exec.launcher, SIGKILL);
        }
        if (connection->mode == CONNECTION_ATTACH) connection_close(shim, connection);
    }
    output_empty(shim);
    watch_close(shim->epoll, &shim->listen);
    if (shim->directory >= 0) record_remove_all(shim);
    shim->finished = true;
    for (uint16_t i = 0; i < shim->connections_end; i++) {
        struct connection *connection = &shim->connections[i];
        if (!connection->deletes || connection->region == NULL) continue;
        struct reply reply;
        reply_begin(&reply, SHIM_MESSAGE_OK, connection->delete_request);
        connection_send(shim, connection, &reply);
    }
}
