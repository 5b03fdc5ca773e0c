/*
 * Launching an exec process beside the loop: a forked launcher does what may take its time or hang (a working
 * directory on a dead server), and reports over a socket. The process is born as our child all the same
 * (CLONE_PARENT). The launcher keeps the descriptors it needs and no other, so that it holds nothing open.
 *
 * The report is that of `gantry-shim launch`: for a terminal a byte with the pty's master, then a struct
 * launch_result. So a program of another build, which understands a plan that we do not, can launch instead.
 */
#define _GNU_SOURCE
#include "descriptor_message.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The launcher's descriptors, after the standard streams. */
#define JOIN_FD 3
#define REPORT_FD 4
#define PLAN_NUMBER 5
#define ABOVE_ALL 16

static _Noreturn void report(struct launch_result *result, int error, const char *syscall) {
    if (error != 0) {
        result->failure = (struct plan_error){.operation = -1, .error = error};
        strcpy(result->failure.syscall, syscall);
    }
    result->magic = LAUNCH_RESULT_MAGIC;
    send(REPORT_FD, result, LAUNCH_RESULT_BYTES, MSG_NOSIGNAL);
    _exit(0);
}

/* A regular file that only root, or we, can have written. */
static int open_program(const char *path) {
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) return -1;
    bool ours = status.st_uid == 0 || status.st_uid == geteuid();
    if (S_ISREG(status.st_mode) && ours && (status.st_mode & 022) == 0) return fd;
    errno = EPERM;
    return -1;
}

static _Noreturn void run_program(const struct exec_launch *launch, struct launch_result *result) {
    static char *const arguments[] = {"gantry-shim", "launch", "--plan-fd",    "5", "--result-fd",    "4",
                                      "--join-fd",   "3",      "--console-fd", "4", "--die-together", NULL};
    static char *const environment[] = {NULL};
    int plan = memfd_create("plan", 0);
    if (plan != PLAN_NUMBER) report(result, plan < 0 ? errno : EBADF, "memfd_create");
    for (size_t at = 0; at < launch->length;) {
        ssize_t n = write(plan, launch->plan + at, launch->length - at);
        if (n <= 0) report(result, n < 0 ? errno : EIO, "write");
        at += (size_t)n;
    }
    if (lseek(plan, 0, SEEK_SET) < 0) report(result, errno, "lseek");
    int program = open_program(launch->program);
    if (program < 0) report(result, errno, "open program");
    syscall(SYS_execveat, program, "", arguments, environment, AT_EMPTY_PATH);
    report(result, errno, "execveat");
}

static _Noreturn void launcher_main(const struct exec_launch *launch, int channel) {
    struct launch_result result = {0};
    /* Above the numbers they are going to, so that none overwrites another. */
    int from[] = {launch->stdio.in, launch->stdio.out, launch->stdio.err, launch->join, channel};
    for (int i = 0; i < 5; i++)
        if (from[i] >= 0 && (from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, ABOVE_ALL)) < 0) _exit(1);
    /* With a terminal the standard streams stay /dev/null. */
    for (int i = 0; i < 5; i++)
        if (from[i] >= 0 && dup2(from[i], i) < 0) _exit(1);
    if (syscall(SYS_close_range, REPORT_FD + 1, ~0u, 0) < 0) _exit(1);
    if (launch->program != NULL) run_program(launch, &result);
    struct launch_stdio stdio = {-1, -1, -1};
    struct launch_process process = {.pid = 0, .pidfd = -1, .gate = -1, .console = -1};
    int launched = launch_run(launch->plan, launch->length, &stdio, JOIN_FD,
                              LAUNCH_FOR_PARENT | LAUNCH_DIE_TOGETHER, &process, &result.failure);
    if (launched == 0 && process.gate >= 0) launched = launch_open_gate(&process, &result.failure);
    if (launched == 0 && process.console >= 0 && descriptor_send(REPORT_FD, process.console) < 0) {
        syscall(SYS_pidfd_send_signal, process.pidfd, SIGKILL, NULL, 0);
        report(&result, errno, "sendmsg");
    }
    if (launched == 0) result.pid = process.pid;
    report(&result, 0, "");
}

pid_t exec_launch_fork(const struct exec_launch *launch, int *channel) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -1;
    pid_t pid = fork();
    if (pid == 0) launcher_main(launch, ends[1]);
    int error = errno;
    close(ends[1]);
    if (pid < 0 || !loop_set_nonblocking(ends[0])) {
        close(ends[0]);
        errno = error;
        return -1;
    }
    *channel = ends[0];
    return pid;
}

bool exec_launch_result(int channel, int *console, pid_t *pid, struct plan_error *failure) {
    for (;;) {
        struct launch_result result = {0};
        union descriptor_control control = {0};
        struct iovec data = {&result, sizeof result};
        struct msghdr message = {
            .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t n = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return false;
        int fd = n > 0 ? descriptor_take(&message) : -1;
        if (fd >= 0) {
            if (*console >= 0) close(*console);
            *console = fd;
        }
        if (n == 1) continue;
        *pid = 0;
        if (n >= (ssize_t)LAUNCH_RESULT_BYTES && result.magic == LAUNCH_RESULT_MAGIC) {
            *pid = result.pid;
            *failure = result.failure;
            failure->syscall[sizeof failure->syscall - 1] = 0;
            failure->path[sizeof failure->path - 1] = 0;
            failure->said[0] = 0; /* hooks are of containers */
        } else {
            *failure = (struct plan_error){.operation = -1, .error = ESRCH, .syscall = "launcher died"};
        }
        return true;
    }
}
