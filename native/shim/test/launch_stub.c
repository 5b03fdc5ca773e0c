/*
 * A launcher for the shim's own tests, in place of the executor: no namespaces, no limits, just a child. Its
 * "plan" is three letters and the command's arguments, each followed by a NUL:
 *
 *   T a terminal, X fail, H hang while the first argument is a file (the command comes after it), or -
 *   G a start gate, or -
 *   P die with the shim, or -
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../executor/launch.h"

#define MAX_ARGS 64

int launch_command_main(int argc, char **argv);
int launch_command_main(int argc, char **argv) {
    (void)argc;
    (void)argv;
    return 2;
}

static int fail(struct plan_error *failure, int error) {
    failure->operation = 7;
    failure->error = error;
    strcpy(failure->syscall, "stub");
    strcpy(failure->path, "/nowhere");
    return -1;
}

static int open_terminal(int *console) {
    int unlocked = 0;
    *console = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*console < 0 || ioctl(*console, TIOCSPTLCK, &unlocked) < 0) return -1;
    return ioctl(*console, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static _Noreturn void child(char **args, const struct launch_stdio *stdio, int terminal, const int gate[2],
                            pid_t die) {
    static char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (die > 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (die > 0 && getppid() != die) _exit(126);
    if (terminal >= 0) ioctl(terminal, TIOCSCTTY, 0);
    dup2(terminal >= 0 ? terminal : stdio->in, 0);
    dup2(terminal >= 0 ? terminal : stdio->out, 1);
    dup2(terminal >= 0 ? terminal : stdio->err, 2);
    if (gate[0] >= 0) {
        char byte;
        close(gate[1]);
        if (read(gate[0], &byte, 1) != 1) _exit(1);
    }
    execve(args[0], args, environment);
    _exit(127);
}

int launch_process(const uint8_t *plan, size_t length, const struct launch_stdio *stdio, int join_pidfd,
                   struct launch_process *out, struct plan_error *failure) {
    return launch_run(plan, length, stdio, join_pidfd, 0, out, failure);
}

int launch_run(const uint8_t *plan, size_t length, const struct launch_stdio *stdio, int join_pidfd,
               unsigned int flags, struct launch_process *out, struct plan_error *failure) {
    (void)join_pidfd;
    if (length < 4 || plan[length - 1] != 0 || plan[0] == 'X') return fail(failure, ENOENT);
    static char arguments[65536];
    char *args[MAX_ARGS + 1] = {0};
    if (length > sizeof arguments) return fail(failure, E2BIG);
    memcpy(arguments, plan, length);
    size_t at = 3;
    for (size_t count = 0; at < length && count < MAX_ARGS; count++) {
        args[count] = arguments + at;
        at += strlen(arguments + at) + 1;
    }
    int gate[2] = {-1, -1}, console = -1, terminal = -1;
    if (plan[1] == 'G' && pipe2(gate, O_CLOEXEC) < 0) return fail(failure, errno);
    if (plan[0] == 'T' && (terminal = open_terminal(&console)) < 0) return fail(failure, errno);
    while (plan[0] == 'H' && access(args[0], F_OK) == 0)
        usleep(10000);
    pid_t above = flags & LAUNCH_FOR_PARENT ? getppid() : getpid();
    long parent = flags & LAUNCH_FOR_PARENT ? CLONE_PARENT : 0;
    pid_t pid = (pid_t)syscall(SYS_clone, parent | SIGCHLD, 0, 0, 0, 0);
    if (pid < 0) return fail(failure, errno);
    if (pid == 0) child(args + (plan[0] == 'H'), stdio, terminal, gate, plan[2] == 'P' ? above : 0);
    if (gate[0] >= 0) close(gate[0]);
    if (terminal >= 0) close(terminal);
    *out = (struct launch_process){
        .pid = pid, .pidfd = (int)syscall(SYS_pidfd_open, pid, 0), .gate = gate[1], .console = console};
    return 0;
}

int launch_open_gate(struct launch_process *process, struct plan_error *failure) {
    int result = write(process->gate, "", 1) == 1 ? 0 : fail(failure, errno);
    close(process->gate);
    process->gate = -1;
    return result;
}
