/*
 * An external runtime in place of our own operations: its commands are run one after the other, and the
 * process that they have made, whose pid is in a file, succeeds this one.
 *
 * This process is the subreaper of what it runs, so that a command that fails or does not end can be undone:
 * whoever it has left is ours, and is killed. So it does when its launcher dies, which it must therefore
 * outlive for a moment. When this process has ended, the new one is the launcher's child, as the launcher (or
 * its parent) is the next subreaper. Nothing that a runtime writes is read here but the number in the file.
 */
#define _GNU_SOURCE
#include "calls.h"
#include "channel.h"
#include "descriptor_message.h"
#include "operations.h"
#include "procfs.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* The runtime has ended when the terminal is waited for, so that it is there or never comes. */
#define CONSOLE_WAIT_MS 2000
/* A process between the runtime and the one it made may end a moment after the runtime. */
#define ORPHAN_TRIES 200
#define ORPHAN_WAIT_MS 10
#define OUTPUT_BYTES 65536

/* Kills the pids of a list of decimal numbers. How many there were. */
static unsigned kill_listed(const char *text) {
    unsigned count = 0;
    for (const char *at = text; *at != 0; at++) {
        pid_t pid = 0;
        for (; *at >= '0' && *at <= '9'; at++)
            pid = pid * 10 + (*at - '0');
        if (pid > 1 && kill(pid, SIGKILL) == 0) count++;
        if (*at == 0) break;
    }
    return count;
}

/*
 * Ends all that the runtime has left, as often as the end of one makes another ours. Kernels without
 * CONFIG_PROC_CHILDREN list none: there it is left to who kills the control group.
 */
static void end_children(struct plan_context *context) {
    for (;;) {
        char text[4096];
        PLAN_FD file = procfs_open(context, "thread-self/children", O_RDONLY);
        ssize_t length = file < 0 ? 0 : read(file, text, sizeof(text) - 1);
        text[length < 0 ? 0 : length] = 0;
        if (kill_listed(text) == 0) return;
        while (waitpid(-1, NULL, __WALL) < 0 && errno == EINTR)
            continue;
    }
}

/* Moves what is left in the pipe on standard error to the end of the file. */
static void keep_output(struct plan_context *context, const char *log) {
    struct stat status;
    if (log[0] == 0 || fstat(2, &status) < 0 || !S_ISFIFO(status.st_mode)) return;
    /* The pipe's other end is our launcher's. */
    PLAN_FD pipe = procfs_follow(context, "self/fd/2", O_RDONLY | O_NONBLOCK);
    PLAN_FD file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (pipe < 0 || file < 0) return;
    char bytes[4096];
    for (size_t total = 0; total < OUTPUT_BYTES;) {
        ssize_t got = read(pipe, bytes, sizeof(bytes));
        if (got <= 0 || write(file, bytes, (size_t)got) != got) return;
        total += (size_t)got;
    }
}

/* Always -1, with nothing of the runtime's left running. */
static int undo(struct plan_context *context, const char *log) {
    end_children(context);
    keep_output(context, log);
    return -1;
}

/* A socket of this name in the directory, which becomes the process's own. -1 (plan_fail). */
static int console_listen(struct plan_context *context, const char *directory, const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(name) >= sizeof(address.sun_path) || strchr(name, '/') != NULL) return plan_malformed(context);
    strcpy(address.sun_path, name);
    if (chdir(directory) < 0) return plan_fail(context, "chdir", directory);
    PLAN_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return plan_fail(context, "socket", NULL);
    unlink(name);
    mode_t before = umask(0177);
    int bound = bind(fd, (struct sockaddr *)&address, sizeof(address));
    umask(before);
    if (bound < 0 || listen(fd, 1) < 0) return plan_fail(context, "bind", directory);
    int listening = fd;
    fd = -1;
    return listening;
}

static bool readable(int fd, int timeout_ms) {
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    int ready;
    do
        ready = poll(&waiting, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* One descriptor out of a message, of which nothing else is looked at. -1 if there is none. */
static int receive_descriptor(int channel) {
    char byte;
    union descriptor_control control = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0) return -1;
    return descriptor_take(&message);
}

/* The terminal's master, from the runtime to the launcher. 0 or -1 (plan_fail). */
static int console_pass(struct plan_context *context, int listening) {
    PLAN_FD channel =
        readable(listening, CONSOLE_WAIT_MS) ? accept4(listening, NULL, NULL, SOCK_CLOEXEC) : -1;
    PLAN_FD console = channel >= 0 && readable(channel, CONSOLE_WAIT_MS) ? receive_descriptor(channel) : -1;
    unsigned int number;
    if (console < 0 || ioctl(console, TIOCGPTN, &number) < 0)
        return plan_fail_with(context, ENOTTY, "runtime terminal", NULL);
    struct channel_message message = {.kind = CHANNEL_CONSOLE};
    return channel_send(context->sync, &message, console) < 0 ? plan_fail(context, "sendmsg", "console") : 0;
}

struct command {
    const char *path, *directory, *log;
    char **args, **env;
    bool terminal;
};

/* In the command's process. Its exec's errno goes to `report`, which a success closes. */
static _Noreturn void command_main(const struct command *command, pid_t parent, int report) {
    umask(022);
    /* With a terminal, the standard streams are not the container's. */
    int log = command->terminal && command->log[0] != 0
                  ? open(command->log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600)
                  : -1;
    bool placed = log < 0 || (dup2(log, 1) == 1 && dup2(log, 2) == 2);
    /* Those of a launcher that was itself executed are not all close-on-exec. */
    placed = placed && call_close_range(3, (unsigned int)report - 1) == 0 &&
             call_close_range((unsigned int)report + 1, ~0U) == 0;
    if (placed && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent &&
        chdir(command->directory) == 0)
        execve(command->path, command->args, command->env);
    int error = errno;
    if (write(report, &error, sizeof(error)) < 0) _exit(126);
    _exit(127);
}

/* Waits for the end. 0, or ETIMEDOUT, or ECANCELED when the launcher has gone. */
static int wait_end(struct plan_context *context, pid_t pid, uint32_t timeout_ms, int *status) {
    PLAN_FD pidfd = call_pidfd_open(pid);
    struct pollfd waiting[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = context->sync, .events = POLLIN}};
    int limit = timeout_ms == 0 ? -1 : timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms, ready = 1;
    while (pidfd >= 0 && (ready = poll(waiting, 2, limit)) < 0 && errno == EINTR)
        continue;
    if (ready == 0) return ETIMEDOUT;
    /* The launcher says nothing here, so that there is something to read at the end only. */
    if (pidfd >= 0 && waiting[0].revents == 0) return ECANCELED;
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        continue;
    return 0;
}

/* Runs it to its end. 0 or -1 (plan_fail). */
static int run_command(struct plan_context *context, const struct command *command, uint32_t timeout_ms) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0) return plan_fail(context, "pipe2", command->path);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) command_main(command, parent, report[1]);
    int error = errno, exec_error = 0, status = 0;
    close(report[1]);
    ssize_t got = pid < 0 ? 0 : read(report[0], &exec_error, sizeof(exec_error));
    close(report[0]);
    if (pid < 0) return plan_fail_with(context, error, "fork", command->path);
    error = wait_end(context, pid, timeout_ms, &status);
    if (error != 0)
        return plan_fail_with(context, error, error == ETIMEDOUT ? "runtime timeout" : "launcher",
                              command->path);
    if (got == (ssize_t)sizeof(exec_error))
        return plan_fail_with(context, exec_error, "runtime execve", command->path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    char text[32] = "runtime exit ";
    if (WIFSIGNALED(status)) strcpy(text, "runtime signal ");
    procfs_decimal(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), text + strlen(text));
    return plan_fail_with(context, ECHILD, text, command->path);
}

int op_runtime_command(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(runtime_command, op);
    PLAN_STRING(path, op.path);
    PLAN_STRINGS(first_arg, op.args);
    PLAN_STRINGS(first_env, op.env);
    PLAN_STRING(directory, op.directory);
    PLAN_STRING(console, op.console);
    PLAN_STRING(log, op.log);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return plan_fail(context, "prctl", "PR_SET_CHILD_SUBREAPER");
    struct command command = {.path = path,
                              .directory = directory,
                              .log = log,
                              .args = plan_string_array(first_arg, op.args.count),
                              .env = plan_string_array(first_env, op.env.count),
                              .terminal = (context->flags & PLAN_LAUNCH_TERMINAL) != 0};
    if (command.args == NULL || command.env == NULL) return plan_fail(context, "calloc", NULL);
    PLAN_FD listening = console[0] == 0 ? -1 : console_listen(context, directory, console);
    if (console[0] != 0 && listening < 0) return -1;
    int result = run_command(context, &command, op.timeout_ms);
    free(command.args);
    free(command.env);
    if (result == 0 && listening >= 0) result = console_pass(context, listening);
    return result == 0 ? 0 : undo(context, log);
}

/* The number in the file: digits, and perhaps a line feed. 0 for anything else. */
static pid_t read_pid(const char *path) {
    PLAN_FD file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char text[16];
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof(text));
    pid_t pid = 0;
    if (length < 1 || length > 11) return 0;
    for (ssize_t i = 0; i < length; i++) {
        if (text[i] == '\n' && i == length - 1 && i > 0) break;
        if (text[i] < '0' || text[i] > '9' || pid > INT_MAX / 10 - 1) return 0;
        pid = pid * 10 + (text[i] - '0');
    }
    return pid > 1 ? pid : 0;
}

/* Whether it is a child of ours, alive or not; it is not reaped. */
static bool is_ours(pid_t pid) {
    for (int i = 0; i < ORPHAN_TRIES; i++) {
        siginfo_t info;
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0) return true;
        poll(NULL, 0, ORPHAN_WAIT_MS);
    }
    return false;
}

int op_adopt(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(adopt, op);
    PLAN_STRING(path, op.pid_file);
    pid_t pid = read_pid(path);
    if (pid == 0) {
        plan_fail_with(context, EINVAL, "runtime pid", path);
        return undo(context, "");
    }
    if (!is_ours(pid)) {
        plan_fail_with(context, ESRCH, "runtime process", path);
        return undo(context, "");
    }
    struct channel_message message = {.kind = CHANNEL_FORKED, .adopted = pid};
    if (channel_send(context->sync, &message, -1) < 0) {
        plan_fail(context, "sendmsg", NULL);
        return undo(context, "");
    }
    _exit(0);
}
