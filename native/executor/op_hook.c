/*
 * Running a hook: a program of the host's, with its own arguments and environment and nothing else of ours,
 * and the container's state as JSON on its standard input. The JSON came with the plan; only the pid is put
 * in here.
 */
#define _GNU_SOURCE
#include "calls.h"
#include "monotonic.h"
#include "operations.h"
#include "procfs.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

/* Where a hook's exec reports. */
#define REPORT 3

static bool write_text(int fd, const char *text) {
    size_t length = strlen(text);
    return write(fd, text, length) == (ssize_t)length;
}

/* The pid as those see it in whose namespaces the hook runs (runtime.md, "State"). */
static void process_pid(const struct plan_context *context, char text[24]) {
    procfs_decimal(context->pid > 0 ? context->pid : getpid(), text);
}

/* The state in an anonymous file, at its beginning: whatever its size, writing it never blocks. */
static int state_file(const struct plan_context *context, const char *prefix, const char *suffix) {
    char pid[24];
    int fd = memfd_create("state", MFD_CLOEXEC);
    if (fd < 0) return -1;
    process_pid(context, pid);
    if (write_text(fd, prefix) && write_text(fd, pid) && write_text(fd, suffix) &&
        lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The end of what a hook says on its standard error. */
struct words {
    int fd; /* -1: nothing */
    size_t length;
    char text[PLAN_SAID_BYTES];
};

static void words_close(const struct words *words) {
    if (words->fd >= 0) close(words->fd);
}

/* More than a pipe holds. */
#define MAX_PIECES 1024
#define LOOK_NS 5000000

/* In the hook's process. Its exec's errno goes to `report`, which a success closes. */
static void hook_main(const char *path, char **args, char **env, const char *directory, int state, int said,
                      int report) {
    int null = open("/dev/null", O_RDWR);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(state, 0) == 0 && (null < 0 || (dup2(null, 1) == 1 && dup2(said < 0 ? null : said, 2) == 2)) &&
        null > 2)
        close(null);
    /* Nor what is the launcher's by inheritance: plan and result, and descriptors that are for the container.
     */
    if (report != REPORT && dup3(report, REPORT, O_CLOEXEC) < 0) _exit(126);
    if (call_close_range(REPORT + 1, ~0U) < 0) _exit(126);
    /* What it starts ends with it when its time is over. */
    setpgid(0, 0);
    /* A user namespace may not reach it. */
    if (directory[0] != 0 && chdir(directory) < 0 && chdir("/") < 0) _exit(126);
    execve(path, args, env);
    int error = errno;
    if (write(REPORT, &error, sizeof(error)) < 0) _exit(126);
    _exit(127);
}

/* Takes a piece of what the hook says, and keeps the end of all. False when there is none now. */
static bool words_take(struct words *words) {
    char piece[sizeof(words->text) - 1];
    ssize_t got = read(words->fd, piece, sizeof(piece));
    if (got <= 0) return false;
    size_t length = (size_t)got;
    size_t kept = words->length + length > sizeof(piece) ? sizeof(piece) - length : words->length;
    memmove(words->text, words->text + words->length - kept, kept);
    for (size_t i = 0; i < length; i++)
        words->text[kept + i] = piece[i] != 0 ? piece[i] : ' ';
    words->length = kept + length;
    words->text[words->length] = 0;
    return true;
}

/*
 * Until the end, or the deadline if that is not 0: not ended then. Nobody else reads what it says, or it
 * would wait for ever. False where the kernel does not let us listen.
 */
static bool hook_listen(int pidfd, int64_t deadline, struct words *words, bool *ended) {
    struct pollfd waiting[] = {{.fd = pidfd, .events = POLLIN}, {.fd = words->fd, .events = POLLIN}};
    *ended = false;
    while (waiting[0].revents == 0) {
        int64_t left = deadline == 0 ? -1 : deadline - monotonic_ms();
        if (deadline != 0 && left <= 0) return true;
        int ready = poll(waiting, 2, (int)left);
        if (ready < 0 && errno != EINTR) return false;
        if (ready > 0 && waiting[1].revents != 0 && !words_take(words)) waiting[1].fd = -1;
    }
    *ended = true;
    return true;
}

/* As hook_listen, where there is no pidfd or no poll: a hook's filter may refuse both, a limit the first. */
static bool hook_look(pid_t pid, int64_t deadline, struct words *words) {
    siginfo_t ended = {0};
    while (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0) {
        if (deadline != 0 && monotonic_ms() >= deadline) return false;
        while (words_take(words))
            continue;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    return true;
}

/* Waits for the end, at most timeout_ms if that is not 0. False after a timeout, when it has been killed. */
static bool hook_wait(pid_t pid, uint32_t timeout_ms, struct words *words, int *status) {
    int64_t deadline = timeout_ms == 0 ? 0 : monotonic_ms() + timeout_ms;
    PLAN_FD pidfd = call_pidfd_open(pid);
    bool ended = true;
    if (pidfd < 0 || !hook_listen(pidfd, deadline, words, &ended)) ended = hook_look(pid, deadline, words);
    if (!ended) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        continue;
    /* What a process that it has left behind may still say is not waited for. */
    for (int i = 0; i < MAX_PIECES && words_take(words); i++)
        continue;
    return ended;
}

/* A pipe for what the hook says, whose reading end does not block. The writing end, or -1: it says nothing.
 */
static int words_open(struct words *words) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0) {
        words->fd = ends[0];
        return ends[1];
    }
    close(ends[0]);
    close(ends[1]);
    return -1;
}

static int hook_result(struct plan_context *context, const char *path, bool ended, int status) {
    if (!ended) return plan_fail_with(context, ETIMEDOUT, "hook timeout", path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    char text[32] = "hook exit ";
    if (WIFSIGNALED(status)) {
        strcpy(text, "hook signal ");
        procfs_decimal(WTERMSIG(status), text + strlen(text));
    } else {
        procfs_decimal(WEXITSTATUS(status), text + strlen(text));
    }
    return plan_fail_with(context, ECHILD, text, path);
}

int op_hook(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(hook, op);
    PLAN_STRING(path, op.path);
    PLAN_STRINGS(first_arg, op.args);
    PLAN_STRINGS(first_env, op.env);
    PLAN_STRING(directory, op.directory);
    PLAN_STRING(prefix, op.state_prefix);
    PLAN_STRING(suffix, op.state_suffix);
    PLAN_FD state = state_file(context, prefix, suffix);
    if (state < 0) return plan_fail(context, "memfd_create", path);
    __attribute__((cleanup(words_close))) struct words words = {.fd = -1};
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0) return plan_fail(context, "pipe2", path);
    char **args = plan_string_array(first_arg, op.args.count);
    char **env = plan_string_array(first_env, op.env.count);
    int said = words_open(&words);
    pid_t pid = args == NULL || env == NULL ? -1 : fork();
    if (pid == 0) hook_main(path, args, env, directory, state, said, report[1]);
    int error = errno;
    free(args);
    free(env);
    if (said >= 0) close(said);
    close(report[1]);
    int exec_error = 0;
    ssize_t got = pid < 0 ? 0 : read(report[0], &exec_error, sizeof(exec_error));
    close(report[0]);
    if (pid < 0) return plan_fail_with(context, error, "fork", path);
    int status = 0;
    bool ended = hook_wait(pid, op.timeout_ms, &words, &status);
    if (got == (ssize_t)sizeof(exec_error)) return plan_fail_with(context, exec_error, "hook execve", path);
    int result = hook_result(context, path, ended, status);
    if (result < 0) memcpy(context->failure->said, words.text, words.length + 1);
    return result;
}
