/*
 * Part of the addon: process. Spawning a shim so that it is nobody's child, and signalling by pid and start
 * time.
 *
 *   daemon ──clone3(VM, VFORK)──▶ middle: joins the cgroups ──clone3(VM, VFORK)──▶ shim: setsid, execve
 *      └── waits for middle, which exits once the shim has executed
 *
 * Sharing the memory until the execve saves copying the daemon's page tables, which takes longer than all
 * else. The children run on the caller's stack below its frame, as after vfork, and never return from their
 * function. They make system calls only.
 */
#define _GNU_SOURCE
#include "addon.h"
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGS 16
#define MAX_GROUPS 24
#define SHIM_SOCKET 3
#define SHIM_PROGRAM 4 /* until the execve */

struct spawn {
    char *program;
    char *args[MAX_ARGS + 2];
    char *tasks[MAX_GROUPS + 1]; /* tasks files of v1 groups */
    int into;                    /* v2 directory for CLONE_INTO_CGROUP, -1 for none */
    int socket, null;
    int readonly; /* the program by way of a read-only mount, -1 where there is none */
    sigset_t mask;
    pid_t pid;
    int error; /* of the child that failed, with what it did */
    const char *syscall, *path;
};

static inline __attribute__((always_inline)) long vfork_clone3(struct clone_args *arguments) {
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"((long)SYS_clone3), "D"(arguments), "S"(sizeof *arguments)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long number __asm__("x8") = SYS_clone3;
    register long first __asm__("x0") = (long)arguments;
    register long second __asm__("x1") = sizeof *arguments;
    __asm__ volatile("svc #0" : "+r"(first) : "r"(number), "r"(second) : "memory");
    return first;
#else
#error "no clone3 for this architecture"
#endif
}

static _Noreturn void fail(struct spawn *spawn, const char *syscall, const char *path) {
    spawn->error = errno;
    spawn->syscall = syscall;
    spawn->path = path;
    _exit(127);
}

static _Noreturn void become_shim(struct spawn *spawn) {
    static char *const no_environment[] = {NULL};
    if (setsid() < 0) fail(spawn, "setsid", NULL);
    /* Above the numbers they are going to, so that none overwrites another. */
    int null = fcntl(spawn->null, F_DUPFD, 16), control = fcntl(spawn->socket, F_DUPFD, 16);
    int program = spawn->readonly >= 0 ? fcntl(spawn->readonly, F_DUPFD, 16) : -1;
    if (null < 0 || control < 0) fail(spawn, "fcntl", NULL);
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0) fail(spawn, "dup2", NULL);
    if (dup2(control, SHIM_SOCKET) < 0) fail(spawn, "dup2", NULL);
    if (program >= 0 && dup3(program, SHIM_PROGRAM, O_CLOEXEC) < 0) fail(spawn, "dup3", NULL);
    int first = program >= 0 ? SHIM_PROGRAM + 1 : SHIM_SOCKET + 1;
    if (syscall(SYS_close_range, first, ~0u, 0) < 0) fail(spawn, "close_range", NULL);
    if (chdir("/") < 0) fail(spawn, "chdir", "/");
    if (program >= 0) syscall(SYS_execveat, SHIM_PROGRAM, "", spawn->args, no_environment, AT_EMPTY_PATH);
    /* Where that is refused, too. */
    execve(spawn->program, spawn->args, no_environment);
    fail(spawn, "execve", spawn->program);
}

/*
 * Moves the calling process. Through `tasks`: for a process with one thread that is the same as cgroup.procs,
 * but the kernel need not stop all forks of the machine for it (cgroup_threadgroup_rwsem, an RCU grace
 * period).
 */
static void join_group(struct spawn *spawn, const char *tasks) {
    int fd = open(tasks, O_WRONLY | O_CLOEXEC);
    if (fd < 0) fail(spawn, "open", tasks);
    if (write(fd, "0", 1) < 0) fail(spawn, "write", tasks);
    close(fd);
}

static _Noreturn void be_middle(struct spawn *spawn) {
    for (char **tasks = spawn->tasks; *tasks != NULL; tasks++)
        join_group(spawn, *tasks);
    struct clone_args arguments = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};
    long pid = vfork_clone3(&arguments);
    if (pid == 0) become_shim(spawn);
    if (pid < 0) {
        errno = (int)-pid;
        fail(spawn, "clone3", NULL);
    }
    spawn->pid = (pid_t)pid;
    _exit(0);
}

static __attribute__((noinline)) long spawn_middle(struct spawn *spawn) {
    struct clone_args arguments = {.flags = CLONE_VM | CLONE_VFORK};
    if (spawn->into >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (__u64)spawn->into;
    }
    long pid = vfork_clone3(&arguments);
    if (pid == 0) be_middle(spawn);
    return pid;
}

/*
 * The program's file on a read-only mount that is attached nowhere: until its exec a container's process is
 * this program, and through /proc/PID/exe a container would have a way to the file on the host
 * (CVE-2019-5736). Made once for a program, so that it also stays the one that came with this daemon when the
 * file is replaced. -1 where the kernel cannot (before Linux 5.12); there ETXTBSY protects the file while the
 * container's shim runs.
 */
static int readonly_program(const char *path) {
    static char *known;
    static int tree = -1;
    if (known != NULL && strcmp(known, path) == 0) return tree;
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd >= 0 && syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0) {
        close(fd);
        fd = -1;
    }
    if (fd < 0) return -1;
    if (tree >= 0) close(tree);
    free(known);
    known = strdup(path);
    tree = fd;
    return tree;
}

/* Copies an array of strings; false with an exception pending. */
static bool read_strings(napi_env env, napi_value array, char **out, uint32_t limit) {
    uint32_t count = 0;
    if (napi_get_array_length(env, array, &count) != napi_ok || count > limit) {
        addon_throw_type(env, "argument is not an array of a few strings");
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        napi_value element;
        if (napi_get_element(env, array, i, &element) != napi_ok) return false;
        out[i] = addon_string(env, element);
        if (out[i] == NULL) return false;
    }
    return true;
}

static void free_spawn(struct spawn *spawn) {
    free(spawn->program);
    for (size_t i = 1; i < MAX_ARGS + 2; i++)
        free(spawn->args[i]);
    for (size_t i = 0; i < MAX_GROUPS + 1; i++)
        free(spawn->tasks[i]);
    if (spawn->into >= 0) close(spawn->into);
    if (spawn->socket >= 0) close(spawn->socket);
    if (spawn->null >= 0) close(spawn->null);
}

/* spawnShim(program, args, unified, tasks) → { pid, fd } */
static napi_value spawn_shim(napi_env env, napi_callback_info info) {
    napi_value arguments[4], result, number;
    struct spawn spawn
        __attribute__((cleanup(free_spawn))) = {.into = -1, .socket = -1, .null = -1, .readonly = -1};
    if (!addon_args(env, info, 4, arguments)) return NULL;
    spawn.program = addon_string(env, arguments[0]);
    if (spawn.program == NULL || !read_strings(env, arguments[1], spawn.args + 1, MAX_ARGS) ||
        !read_strings(env, arguments[3], spawn.tasks, MAX_GROUPS))
        return NULL;
    const char *slash = strrchr(spawn.program, '/');
    spawn.args[0] = slash ? (char *)slash + 1 : spawn.program;
    /* The child is born in its v2 group: moving it there would need the lock against all forks. */
    char *unified __attribute__((cleanup(addon_free_string))) = addon_string(env, arguments[2]);
    if (unified == NULL) return NULL;
    if (unified[0] != 0) {
        spawn.into = open(unified, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (spawn.into < 0) return addon_throw_errno(env, errno, "open", unified);
    }
    int ends[2];
    spawn.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (spawn.null < 0) return addon_throw_errno(env, errno, "open", "/dev/null");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return addon_throw_errno(env, errno, "socketpair", NULL);
    spawn.readonly = readonly_program(spawn.program);
    spawn.socket = ends[1];
    /* The children share the memory in which signal handlers would run. */
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &spawn.mask);
    long middle = spawn_middle(&spawn);
    int status = 0;
    if (middle > 0)
        while (waitpid((pid_t)middle, &status, __WALL) < 0 && errno == EINTR) {
        }
    pthread_sigmask(SIG_SETMASK, &spawn.mask, NULL);
    if (middle < 0 || spawn.error != 0 || spawn.pid <= 0) {
        close(ends[0]);
        if (middle < 0) return addon_throw_errno(env, (int)-middle, "clone3", NULL);
        return addon_throw_errno(env, spawn.error ? spawn.error : ECHILD,
                                 spawn.syscall ? spawn.syscall : "clone3", spawn.path);
    }
    napi_create_object(env, &result);
    napi_create_int32(env, spawn.pid, &number);
    napi_set_named_property(env, result, "pid", number);
    napi_create_int32(env, ends[0], &number);
    napi_set_named_property(env, result, "fd", number);
    return result;
}

/* Field 22 of /proc/PID/stat, 0 where there is no such process or only its zombie. */
static int64_t start_time(int32_t pid) {
    char path[64], text[1024], digits[12];
    size_t count = 0, at = 0;
    do
        digits[count++] = (char)('0' + pid % 10);
    while (pid /= 10);
    while (count > 0)
        path[at++] = digits[--count];
    memcpy(path + at, "/stat", 6);
    int proc = procfs_open_root();
    int fd = proc < 0 ? -1 : procfs_open(proc, path, O_RDONLY);
    if (proc >= 0) close(proc);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    char *field = strrchr(text, ')');
    /* A dead process that its parent has not reaped yet is gone for every purpose here. */
    if (field == NULL || strlen(field) < 3 || field[2] == 'Z' || field[2] == 'X') return 0;
    for (int i = 2; i < 22 && field != NULL; i++) {
        field = strchr(field, ' ');
        if (field != NULL) field++;
    }
    return field ? strtoll(field, NULL, 10) : 0;
}

/* processStartTime(pid) → number */
static napi_value process_start_time(napi_env env, napi_callback_info info) {
    napi_value arguments[1], result;
    int32_t pid;
    if (!addon_args(env, info, 1, arguments) || !addon_int32(env, arguments[0], &pid)) return NULL;
    napi_create_int64(env, pid > 0 ? start_time(pid) : 0, &result);
    return result;
}

/* killProcess(pid, startTime, signal) → boolean: sent to that very process; false where it is gone */
static napi_value kill_process(napi_env env, napi_callback_info info) {
    napi_value arguments[3], result;
    int32_t pid, signal;
    int64_t started;
    if (!addon_args(env, info, 3, arguments) || !addon_int32(env, arguments[0], &pid) ||
        !addon_int64(env, arguments[1], &started) || !addon_int32(env, arguments[2], &signal))
        return NULL;
    bool sent = false;
    int pidfd = pid > 0 && started > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pidfd >= 0) {
        /* The descriptor holds the process; if its start time is the right one, so is the process. */
        int error = 0;
        if (start_time(pid) == started) {
            sent = syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) == 0;
            error = sent ? 0 : errno;
        }
        close(pidfd);
        if (error != 0 && error != ESRCH) return addon_throw_errno(env, error, "pidfd_send_signal", NULL);
    }
    napi_get_boolean(env, sent, &result);
    return result;
}

void addon_process_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {
        {"spawnShim", spawn_shim},
        {"processStartTime", process_start_time},
        {"killProcess", kill_process},
    };
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
