/* The holder of namespaces in a user namespace. See user_process.h. */
#define _GNU_SOURCE
#include "user_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What set_up came to, in the process's copy of the job. The name of the call is text of this program. */
struct report {
    int error;
    const char *syscall;
    char path[sizeof((struct job *)0)->path];
};

static void close_others(int kept) {
    if (kept > 0) syscall(SYS_close_range, 0, kept - 1, 0);
    syscall(SYS_close_range, kept + 1, ~0U, 0);
}

_Noreturn static void hold(int channel, uint64_t flags, void (*set_up)(struct job *job), struct job *job) {
    char byte;
    close_others(channel);
    /* The maps are written now; or whoever wanted to is gone. */
    if (read(channel, &byte, 1) != 1) _exit(1);
    if (syscall(SYS_setresgid, 0, 0, 0) != 0 || syscall(SYS_setresuid, 0, 0, 0) != 0)
        job_fail(job, "setresuid", NULL);
    /* Only now: what a namespace brings with it belongs to who makes it, as the root of an mqueue does. */
    else if (unshare((int)flags) != 0)
        job_fail(job, "unshare", NULL);
    else
        set_up(job);
    struct report report = {.error = job->error, .syscall = job->syscall};
    memcpy(report.path, job->path, sizeof report.path);
    if (write(channel, &report, sizeof report) != (ssize_t)sizeof report) _exit(1);
    while (read(channel, &byte, 1) < 0 && errno == EINTR)
        continue;
    _exit(0);
}

static int write_map(struct job *job, int proc, pid_t pid, const char *name, const char *lines) {
    char path[48];
    snprintf(path, sizeof path, "%d/%s", (int)pid, name);
    int fd = openat(proc, path, O_WRONLY | O_CLOEXEC);
    size_t size = strlen(lines);
    if (fd < 0 || write(fd, lines, size) != (ssize_t)size) {
        job_fail(job, "write", name);
        if (fd >= 0) close(fd);
        return -1;
    }
    close(fd);
    return 0;
}

static int await_report(struct user_process *process, struct job *job) {
    struct report report;
    if (write(process->channel, "", 1) != 1) return job_fail(job, "write", "user namespace"), -1;
    ssize_t got;
    do
        got = read(process->channel, &report, sizeof report);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof report) {
        errno = got < 0 ? errno : ESRCH;
        return job_fail(job, "read", "user namespace"), -1;
    }
    job->error = report.error;
    job->syscall = report.syscall;
    memcpy(job->path, report.path, sizeof job->path);
    return report.error == 0 ? 0 : -1;
}

int user_process_start(struct user_process *process, int proc, uint64_t flags, const char *uid_map,
                       const char *gid_map, void (*set_up)(struct job *job), struct job *job) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return job_fail(job, "socketpair", NULL), -1;
    /* Without a signal at its end: it is nobody's business but ours. */
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_CLEAR_SIGHAND};
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) hold(pair[1], flags, set_up, job);
    if (pid < 0) job_fail(job, "clone3", "user namespace");
    close(pair[1]);
    *process = (struct user_process){.pid = (pid_t)pid, .channel = pair[0]};
    if (pid > 0 && write_map(job, proc, (pid_t)pid, "uid_map", uid_map) == 0 &&
        write_map(job, proc, (pid_t)pid, "gid_map", gid_map) == 0 && await_report(process, job) == 0)
        return 0;
    user_process_end(process);
    return -1;
}

void user_process_end(struct user_process *process) {
    close(process->channel);
    if (process->pid <= 0) return;
    kill(process->pid, SIGKILL);
    while (waitpid(process->pid, NULL, __WALL) < 0 && errno == EINTR)
        continue;
}
