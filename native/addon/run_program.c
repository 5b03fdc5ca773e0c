/*
 * Part of the addon: running a program for its result, from a thread of its own that also waits for it. The
 * thread starts it without copying the daemon's page tables (posix_spawn), which on the thread of JavaScript
 * would hold up everything else, the longer the larger the daemon is.
 */
#define _GNU_SOURCE
#include "job.h"
#include "spawning.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STREAMS 3
#define SIGNALLED 256 /* added to the number of the signal that ended it */

struct program {
    struct job job;
    char *path;
    char **arguments, **environment;
    int streams[STREAMS];
    int cancel; /* the reading end of a pipe: when the other end is closed, the program is killed */
    int32_t status;
};

static void close_all(int *descriptors, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (descriptors[i] >= 0) close(descriptors[i]);
        descriptors[i] = -1;
    }
}

static void free_list(char **list) {
    for (char **entry = list; entry != NULL && *entry != NULL; entry++)
        free(*entry);
    free(list);
}

static void program_release(struct job *base) {
    struct program *program = (struct program *)base;
    close_all(program->streams, STREAMS);
    close_all(&program->cancel, 1);
    free_list(program->arguments);
    free_list(program->environment);
    free(program->path);
    free(program);
}

/* Until it has ended; kills its session when asked to. */
static int program_wait(struct program *program, pid_t pid) {
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd watched[] = {{.fd = program->cancel, .events = POLLIN}, {.fd = process, .events = POLLIN}};
    while (process >= 0 && watched[1].revents == 0) {
        if (poll(watched, 2, -1) < 0 && errno != EINTR) break;
        if (watched[0].revents == 0 || watched[1].revents != 0) continue;
        kill(-pid, SIGKILL);
        watched[0].fd = -1;
        watched[0].revents = 0;
    }
    if (process >= 0) close(process);
    int status = 0;
    pid_t reaped;
    do
        reaped = waitpid(pid, &status, 0);
    while (reaped < 0 && errno == EINTR);
    if (reaped < 0) return -1;
    program->status = WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
    return 0;
}

static void program_run(struct job *base) {
    struct program *program = (struct program *)base;
    /* This thread's alone from here on: the daemon keeps its directory and mask. */
    if (unshare(CLONE_FS) != 0) return job_fail(base, "unshare", NULL);
    umask(022);
    if (chdir("/") != 0) return job_fail(base, "chdir", "/");
    pid_t pid = 0;
    const struct spawning spawning = {.path = program->path,
                                      .arguments = program->arguments,
                                      .environment = program->environment,
                                      .descriptors = program->streams,
                                      .count = STREAMS,
                                      .session = true};
    int err = spawn_program(&spawning, &pid);
    if (err != 0) {
        errno = err;
        return job_fail(base, "execve", program->path);
    }
    /* The program's ends of its streams: whoever reads is to see when it closes them. */
    close_all(program->streams, STREAMS);
    if (program_wait(program, pid) != 0) job_fail(base, "waitpid", program->path);
}

static napi_value program_result(napi_env env, struct job *base) {
    napi_value result;
    return napi_create_int32(env, ((struct program *)base)->status, &result) == napi_ok ? result : NULL;
}

static char **string_list(napi_env env, napi_value value) {
    uint32_t count;
    if (napi_get_array_length(env, value, &count) != napi_ok) {
        addon_throw_type(env, "argument is not a list");
        return NULL;
    }
    char **list = calloc((size_t)count + 1, sizeof *list);
    if (list == NULL) addon_throw_errno(env, ENOMEM, "calloc", NULL);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        napi_value entry;
        if (napi_get_element(env, value, i, &entry) == napi_ok &&
            (list[i] = addon_string(env, entry)) != NULL)
            continue;
        free_list(list);
        return NULL;
    }
    return list;
}

/* runProgram(path, arguments, environment, stdin, stdout, stderr, cancel) → Promise<status>; takes the
 * descriptors. */
static napi_value run_program(napi_env env, napi_callback_info info) {
    napi_value args[7];
    int32_t numbers[STREAMS + 1];
    if (!addon_args(env, info, 7, args)) return NULL;
    for (size_t i = 0; i < STREAMS + 1; i++)
        if (!addon_int32(env, args[3 + i], &numbers[i])) return NULL;
    struct program *program = calloc(1, sizeof *program);
    if (program == NULL) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    program->job = (struct job){.run = program_run, .result = program_result, .release = program_release};
    for (size_t i = 0; i < STREAMS; i++)
        program->streams[i] = numbers[i];
    program->cancel = numbers[STREAMS];
    if ((program->path = addon_string(env, args[0])) == NULL ||
        (program->arguments = string_list(env, args[1])) == NULL ||
        (program->environment = string_list(env, args[2])) == NULL) {
        program_release(&program->job);
        return NULL;
    }
    return job_start(env, &program->job);
}

void addon_run_program_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"runProgram", run_program}};
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
