/* Operations around the command: the gate's fifo, closing descriptors, execve, and the built-in pause. */
#define _GNU_SOURCE
#include "calls.h"
#include "operations.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

int op_open_fifo(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(open_fifo, op);
    PLAN_STRING(path, op.path);
    /* For reading and writing: opening does not wait, and reading never sees an end of file. */
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return plan_fail(context, "open", path);
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISFIFO(status.st_mode))
        return plan_fail_with(context, EINVAL, "fstat", path);
    context->gate = fd;
    return 0;
}

/* The kernel forgets this at a fork and a change of user, so that it is the last thing to be set. */
static int die_together(struct plan_context *context) {
    if (!context->die_together) return 0;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) return plan_fail(context, "prctl", "PR_SET_PDEATHSIG");
    char byte;
    /* It may be dead already. */
    if (recv(context->sync, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) _exit(126);
    return 0;
}

int op_close_descriptors(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(close_descriptors, op);
    unsigned int low = (unsigned int)(context->gate < context->sync ? context->gate : context->sync);
    unsigned int high = (unsigned int)(context->gate < context->sync ? context->sync : context->gate);
    unsigned int first = 3 + op.preserve;
    if (context->gate < 0) low = high;
    /* The two that stay must not be among those that the command inherits. */
    if (low < first) return plan_fail_with(context, EBADF, "close_range", NULL);
    if (call_close_range(first, low - 1) < 0 || call_close_range(high + 1, ~0U) < 0 ||
        (low != high && call_close_range(low + 1, high - 1) < 0))
        return plan_fail(context, "close_range", NULL);
    context->join = context->proc = context->root = context->null = context->empty = context->directory = -1;
    return die_together(context);
}

int op_check_command(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(check_command, op);
    PLAN_STRING(name, op.name);
    PLAN_STRINGS(candidate, op.candidates);
    int error = ENOENT;
    for (uint32_t i = 0; i < op.candidates.count; i++, candidate = wire_string_after(candidate)) {
        struct stat status;
        if (stat(candidate, &status) < 0) {
            if (errno != ENOENT && errno != ENOTDIR) error = errno;
        } else if (!S_ISREG(status.st_mode) || !(status.st_mode & 0111)) {
            error = EACCES;
        } else if (faccessat(AT_FDCWD, candidate, X_OK, AT_EACCESS) == 0) {
            return 0;
        } else {
            error = errno;
        }
    }
    return plan_fail_with(context, error, "execve", name);
}

char **plan_string_array(const char *first, uint32_t count) {
    char **array = calloc((size_t)count + 1, sizeof(*array));
    for (uint32_t i = 0; array != NULL && i < count; i++, first = wire_string_after(first))
        array[i] = (char *)first;
    return array;
}

int op_prepare_exec(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(exec, op);
    PLAN_STRINGS(first_arg, op.args);
    PLAN_STRINGS(first_env, op.env);
    context->args = plan_string_array(first_arg, op.args.count);
    context->env = plan_string_array(first_env, op.env.count);
    return context->args == NULL || context->env == NULL ? plan_fail(context, "calloc", NULL) : 0;
}

int op_exec(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(exec, op);
    PLAN_STRING(name, op.name);
    PLAN_STRINGS(candidate, op.candidates);
    if (context->args == NULL || context->env == NULL) return plan_malformed(context);
    int error = ENOENT;
    for (uint32_t i = 0; i < op.candidates.count; i++, candidate = wire_string_after(candidate)) {
        execve(candidate, context->args, context->env);
        /* As execvp(3): a file that may not be executed does not hide one later in the path. */
        if (errno == EACCES)
            error = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            return plan_fail(context, "execve", name);
    }
    return plan_fail_with(context, error, "execve", name);
}

int op_pause(struct plan_context *context, const struct wire_record *record) {
    (void)record;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_NAME, "pause", 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    close(context->sync); /* tells the launcher that all is well */
    for (;;) {
        int got = sigwaitinfo(&set, NULL);
        if (got == SIGTERM || got == SIGINT) _exit(0);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
    }
}

int op_end(struct plan_context *context, const struct wire_record *record) {
    (void)record;
    close(context->sync); /* tells the launcher that all is well */
    _exit(0);
}
