/*
 * Part of the addon: running `gantry-shim launch` for a command that has little time. The plan goes to it in
 * memory, and its result comes back through a pipe, in one call that waits for it. The child is started
 * without copying page tables (posix_spawn).
 */
#define _GNU_SOURCE
#include "job.h"
#include "spawning.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGS 16
#define RESULT_BYTES 2048

struct launch {
    char *program;
    char *args[MAX_ARGS + 2];
    uint32_t preserve; /* descriptors 3 … 3+preserve-1 go on as they are; the plan and the result follow */
    int plan, result;  /* above all of these */
    int read_end;
    bool stays;
    pid_t pid;
};

static void release(struct launch *launch) {
    int *descriptors[] = {&launch->plan, &launch->result, &launch->read_end};
    for (size_t i = 0; i < 3; i++) {
        if (*descriptors[i] >= 0) close(*descriptors[i]);
        *descriptors[i] = -1;
    }
    free(launch->program);
    for (size_t i = 1; i < MAX_ARGS + 1; i++)
        free(launch->args[i]);
}

/* A copy with a number that no descriptor of the child has. The given one is closed. */
static int above(int fd, uint32_t preserve) {
    if (fd < 0 || fd >= (int)preserve + 8) return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, (int)preserve + 8);
    int error = errno;
    close(fd);
    errno = error;
    return moved;
}

static const char *open_channels(struct launch *launch, const uint8_t *plan, size_t length) {
    int ends[2];
    if ((launch->plan = above(memfd_create("plan", MFD_CLOEXEC), launch->preserve)) < 0)
        return "memfd_create";
    for (size_t done = 0; done < length;) {
        ssize_t count = pwrite(launch->plan, plan + done, length - done, (off_t)done);
        if (count < 0 && errno != EINTR) return "pwrite";
        if (count > 0) done += (size_t)count;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) return "pipe2";
    launch->read_end = above(ends[0], launch->preserve);
    launch->result = above(ends[1], launch->preserve);
    return launch->read_end < 0 || launch->result < 0 ? "fcntl" : NULL;
}

/* Without an environment. The one that stays has a session of its own: what the terminal sends reaches its
 * parent, which passes it on. */
static int start(struct launch *launch) {
    static char *const no_environment[] = {NULL};
    const int descriptors[] = {launch->plan, launch->result};
    const struct spawning spawning = {.path = launch->program,
                                      .arguments = launch->args,
                                      .environment = no_environment,
                                      .kept = 3 + (int)launch->preserve,
                                      .descriptors = descriptors,
                                      .count = 2,
                                      .session = launch->stays};
    return spawn_program(&spawning, &launch->pid);
}

static int wait_for(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static bool read_arguments(napi_env env, const napi_value *given, struct launch *launch, uint8_t **plan,
                           size_t *length) {
    uint32_t count;
    if ((launch->program = addon_string(env, given[0])) == NULL) return false;
    if (napi_get_array_length(env, given[1], &count) != napi_ok || count > MAX_ARGS)
        return addon_throw_type(env, "arguments are no list, or too many"), false;
    launch->args[0] = launch->program;
    for (uint32_t i = 0; i < count; i++) {
        napi_value entry;
        if (napi_get_element(env, given[1], i, &entry) != napi_ok ||
            (launch->args[i + 1] = addon_string(env, entry)) == NULL)
            return false;
    }
    return addon_bytes(env, given[2], plan, length) && addon_uint32(env, given[3], &launch->preserve) &&
           napi_get_value_bool(env, given[4], &launch->stays) == napi_ok;
}

/* launchProgram(program, args, plan, preserve, stays) → { pid, result }; waits for its result, and for its
 * end unless it stays. */
static napi_value launch_program(napi_env env, napi_callback_info info) {
    napi_value given[5], object, value;
    uint8_t *plan, bytes[RESULT_BYTES];
    size_t length, got = 0;
    struct launch launch __attribute__((cleanup(release))) = {.plan = -1, .result = -1, .read_end = -1};
    if (!addon_args(env, info, 5, given) || !read_arguments(env, given, &launch, &plan, &length)) return NULL;
    const char *failed = open_channels(&launch, plan, length);
    if (failed != NULL) return addon_throw_errno(env, errno, failed, NULL);
    int err = start(&launch);
    if (err != 0) return addon_throw_errno(env, err, "posix_spawn", launch.program);
    close(launch.result);
    launch.result = -1;
    for (;;) {
        ssize_t count = read(launch.read_end, bytes + got, sizeof bytes - got);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        got += (size_t)count;
    }
    if (!launch.stays) wait_for(launch.pid);
    void *copy;
    if (napi_create_object(env, &object) != napi_ok ||
        napi_create_buffer_copy(env, got, bytes, &copy, &value) != napi_ok)
        return NULL;
    napi_set_named_property(env, object, "result", value);
    napi_create_int32(env, launch.pid, &value);
    napi_set_named_property(env, object, "pid", value);
    return object;
}

struct waiting {
    struct job job;
    pid_t pid;
    int status;
};

static void waiting_run(struct job *job) {
    struct waiting *waiting = (struct waiting *)job;
    waiting->status = wait_for(waiting->pid);
    if (waiting->status < 0) job_fail(job, "waitpid", NULL);
}

static napi_value waiting_result(napi_env env, struct job *job) {
    napi_value number;
    napi_create_int32(env, ((struct waiting *)job)->status, &number);
    return number;
}

static void waiting_release(struct job *job) {
    free(job);
}

/* awaitProgram(pid) → Promise<status>: its exit status, or 128 and the signal that ended it. */
static napi_value await_program(napi_env env, napi_callback_info info) {
    napi_value given[1];
    int32_t pid;
    if (!addon_args(env, info, 1, given) || !addon_int32(env, given[0], &pid)) return NULL;
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (waiting == NULL) return addon_throw_errno(env, ENOMEM, "calloc", NULL);
    waiting->job = (struct job){.run = waiting_run, .result = waiting_result, .release = waiting_release};
    waiting->pid = pid;
    return job_start(env, &waiting->job);
}

void addon_launch_program_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {
        {"launchProgram", launch_program},
        {"awaitProgram", await_program},
    };
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
