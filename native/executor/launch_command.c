/*
 * `gantry-shim launch`: launches one plan for the gantry-oci command (or a debugging person), then leaves.
 *
 *   gantry-shim launch --plan-fd N --result-fd N [--join-fd N | --join-pid PID]
 *                      [--console-socket PATH | --console-fd N] [--wait] [--die-together]
 *   gantry-shim launch --check --plan-fd N
 *
 *   --plan-fd N        the plan, read from its current position to the end (a pipe or a file)
 *   --result-fd N      one record is written here (below), then it is closed
 *   --join-fd N        for exec plans: a pidfd of the container's init, whose namespaces are joined
 *   --join-pid PID     the same, by pid; the caller has checked that it is still the right process
 *   --console-socket   with a terminal: connect to this unix stream socket and send the pty's master
 * (SCM_RIGHTS, with one byte of data). A terminal needs this option.
 *   --console-fd N     the same by a connected unix socket
 *   --wait             stay: the process is this program's child. Signals that arrive here (except SIGKILL,
 * SIGSTOP, SIGCHLD) are passed on to it, and its end becomes this program's: the same exit status, or 128
 *                      plus the signal that killed it.
 *   --die-together     the process is killed when its parent dies: this program, or without --wait its caller
 *   --check            only check the plan's structure; exit status 0 or 1
 *
 * The process gets this program's own descriptors 0, 1 and 2; with a terminal they are left alone and the
 * process makes a pty of its own. Descriptors from 3 on reach it only if the plan preserves them
 * (PlanOptions.preserveFds): pass plan and result descriptors above the preserved ones.
 *
 * Without --wait the process becomes a child of this program's caller (CLONE_PARENT), and when that exits, of
 * the caller's subreaper. It stands at the plan's gate when the result is written: gate { fifo: PATH }  it
 * has opened PATH (an existing fifo) for reading and writing, and executes the command as soon as one byte
 * arrives: open it O_WRONLY | O_NONBLOCK (ENXIO: nobody waits there any more) and write one byte. A failure
 * after that shows as exit status 127 (not found) or 126. gate "none"          it has executed its command.
 *   gate "wait"          is for the shim, and refused here.
 *
 * The result, at least 304 bytes in host byte order (struct launch_result; decodeLaunchResult in
 * src/oci/plan-explain.ts): u32 magic 'GLR1' | i32 pid | i32 operation | i32 error | char syscall[32] | char
 * path[256] | what a failing hook said, to the end. error is 0 on success; on failure pid is 0 and nothing
 * was left behind. The exit status is 0, 1 after a failure that is in the result, 2 for a wrong command line
 * or an unreadable plan.
 */
#define _GNU_SOURCE
#include "calls.h"
#include "context.h"
#include "descriptor_message.h"
#include "interpret.h"
#include "program.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

struct launch_arguments {
    int plan, result, join, console;
    const char *console_socket;
    bool wait, check, die_together;
};

int launch_command_main(int argc, char **argv);

/* A number from 0 to INT32_MAX. */
static bool parse_number(const char *text, int *out) {
    long value = 0;
    if (text == NULL || text[0] == 0) return false;
    for (; *text != 0; text++) {
        if (*text < '0' || *text > '9') return false;
        value = value * 10 + (*text - '0');
        if (value > INT32_MAX) return false;
    }
    *out = (int)value;
    return true;
}

static bool parse_arguments(int argc, char **argv, struct launch_arguments *out) {
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--wait") == 0) {
            out->wait = true;
            continue;
        }
        if (strcmp(argv[i], "--die-together") == 0) {
            out->die_together = true;
            continue;
        }
        if (strcmp(argv[i], "--check") == 0) {
            out->check = true;
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--plan-fd") == 0 && parse_number(value, &out->plan)) continue;
        if (strcmp(argv[i - 1], "--result-fd") == 0 && parse_number(value, &out->result)) continue;
        if (strcmp(argv[i - 1], "--join-fd") == 0 && parse_number(value, &out->join)) continue;
        if (strcmp(argv[i - 1], "--console-fd") == 0 && parse_number(value, &out->console)) continue;
        if (strcmp(argv[i - 1], "--console-socket") == 0 && (out->console_socket = value) != NULL) continue;
        int pid;
        if (strcmp(argv[i - 1], "--join-pid") == 0 && parse_number(value, &pid)) {
            /* A pid that is gone fails at the join, with the operation's index. */
            out->join = call_pidfd_open(pid);
            continue;
        }
        return false;
    }
    return out->plan >= 0 && (out->check || out->result >= 0);
}

/* Everything up to the end of file; NULL when it cannot be read or is too long. */
static uint8_t *read_plan(int fd, size_t *length) {
    size_t room = 64 << 10;
    uint8_t *plan = malloc(room);
    *length = 0;
    while (plan != NULL) {
        if (*length == room) {
            uint8_t *larger = room > PLAN_HEADER_MAX_BYTES ? NULL : realloc(plan, room *= 2);
            if (larger == NULL) break;
            plan = larger;
        }
        ssize_t got = read(fd, plan + *length, room - *length);
        if (got == 0) return plan;
        if (got < 0 && errno != EINTR) break;
        if (got > 0) *length += (size_t)got;
    }
    free(plan);
    return NULL;
}

/* Sends the pty's master over the socket, or to whoever listens at the path. */
static int send_console(struct plan_context *context, int given, const char *path, int console) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (given < 0 && path == NULL) return plan_fail_with(context, EINVAL, "console socket", NULL);
    if (given >= 0) path = "";
    if (strlen(path) >= sizeof(address.sun_path))
        return plan_fail_with(context, ENAMETOOLONG, "connect", path);
    strcpy(address.sun_path, path);
    PLAN_FD channel =
        given >= 0 ? fcntl(given, F_DUPFD_CLOEXEC, 3) : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (channel < 0) return plan_fail(context, "socket", path);
    if (given < 0 && connect(channel, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return plan_fail(context, "connect", path);
    return descriptor_send(channel, console) < 0 ? plan_fail(context, "sendmsg", path) : 0;
}

/* Launches and hands the console over. 0, or -1 with the failure filled in and the process gone. */
static int launch(const struct launch_arguments *arguments, struct launch_process *process,
                  struct plan_error *failure) {
    size_t length;
    uint8_t *plan = read_plan(arguments->plan, &length);
    struct plan_context context = {.failure = failure};
    failure->operation = -1;
    if (plan == NULL) return plan_fail(&context, "read", "plan");
    struct launch_stdio stdio = {-1, -1, -1};
    unsigned int flags = arguments->wait ? 0 : LAUNCH_FOR_PARENT;
    if (arguments->die_together) flags |= LAUNCH_DIE_TOGETHER;
    int result = launch_run(plan, length, &stdio, arguments->join, flags, process, failure);
    free(plan);
    if (result < 0) return -1;
    if (process->gate >= 0) {
        /* Its end would close with us. */
        result = plan_fail_with(&context, EINVAL, "start gate", NULL);
    } else if (process->console >= 0) {
        result = send_console(&context, arguments->console, arguments->console_socket, process->console);
    }
    if (result == 0) return 0;
    kill(process->pid, SIGKILL);
    if (arguments->wait) waitpid(process->pid, NULL, 0);
    return -1;
}

/* Passes signals on to the process until it ends. The exit status for us. */
static int wait_for(pid_t pid, const sigset_t *signals) {
    for (;;) {
        int status;
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (ended < 0 && errno != EINTR) return 255;
        int number = sigwaitinfo(signals, NULL);
        if (number > 0 && number != SIGCHLD) kill(pid, number);
    }
}

static int check_plan(int fd) {
    size_t length;
    uint8_t *plan = read_plan(fd, &length);
    struct plan_error failure = {0};
    struct plan_context context = {.failure = &failure};
    struct wire_cursor operations;
    struct wire_record record;
    int result = plan == NULL ? 1 : plan_open(&context, plan, length, &operations, &record) == 0 ? 0 : 1;
    free(plan);
    return result;
}

int launch_command_main(int argc, char **argv) {
    program_protect(argv);
    struct launch_arguments arguments = {.plan = -1, .result = -1, .join = -1, .console = -1};
    if (!parse_arguments(argc, argv, &arguments)) return 2;
    if (arguments.check) return check_plan(arguments.plan);
    sigset_t signals;
    sigfillset(&signals);
    if (arguments.wait) sigprocmask(SIG_BLOCK, &signals, NULL);
    struct launch_result result = {.magic = LAUNCH_RESULT_MAGIC};
    struct launch_process process;
    if (launch(&arguments, &process, &result.failure) == 0) result.pid = process.pid;
    size_t length = LAUNCH_RESULT_BYTES + strlen(result.failure.said);
    if (write(arguments.result, &result, length) != (ssize_t)length) return 2;
    close(arguments.result);
    if (result.pid == 0) return 1;
    close(arguments.plan);
    if (process.console >= 0) close(process.console);
    return arguments.wait ? wait_for(process.pid, &signals) : 0;
}
