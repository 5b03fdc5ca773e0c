/*
 * Launches one plan many times with the executor's own code, while another process exchanges two names of a volume over
 * and over, as a second container that has the volume could.
 *
 *   race PLAN ROUNDS WATCHED LEFT RIGHT [--join PID] [--clean PATH]…
 *
 * LEFT and RIGHT are exchanged by renameat2(2). WATCHED is a directory of the host's that nothing may happen to. The
 * paths to clean are deleted after each round, so that the next one makes them again. Several processes share the rounds,
 * as most of a round is waiting for the kernel to be done with the mounts. Prints lines, from each process for each
 * outcome and how often there was it, "exit N" of the command or "CALL ERRNO" of the step that failed, then "touched N"
 * for what happened to WATCHED, and "swaps N".
 *
 * Compiled with -DWEAK and --wrap for the calls below, a path is looked up safely but then used by its name, as runtimes
 * once did: that must be found out, or the race is none.
 */
#define _GNU_SOURCE
#include "../../../native/executor/launch.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef WEAK
long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f) {
    if (number == SYS_openat2) {
        const struct open_how *how = (const struct open_how *)c;
        if (how->resolve & RESOLVE_IN_ROOT && how->flags & O_PATH) {
            long found = __real_syscall(number, a, b, c, d);
            char link[40], path[4096];
            if (found < 0) return found;
            snprintf(link, sizeof(link), "/proc/self/fd/%ld", found);
            ssize_t length = readlink(link, path, sizeof(path) - 1);
            if (length <= 0 || path[0] != '/') return found;
            path[length] = 0;
            int again = open(path, (int)how->flags & ~O_NOFOLLOW);
            if (again < 0) return found;
            close((int)found);
            return again;
        }
    }
    return __real_syscall(number, a, b, c, d, e, f);
}

/* Directory and name as one path, from what the kernel says the directory's is. */
static const char *by_name(int directory, const char *name) {
    static char path[8192];
    char link[40];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, path, 4096);
    snprintf(path + (length < 0 ? 0 : length), 4000, "/%s", name);
    return path;
}

int __wrap_mkdirat(int directory, const char *name, mode_t mode);
int __wrap_mkdirat(int directory, const char *name, mode_t mode) {
    return mkdir(by_name(directory, name), mode);
}

int __wrap_mknodat(int directory, const char *name, mode_t mode, dev_t device);
int __wrap_mknodat(int directory, const char *name, mode_t mode, dev_t device) {
    return mknod(by_name(directory, name), mode, device);
}
#endif

#define WORKERS 6

struct outcome {
    char name[96];
    unsigned count;
};
static struct outcome outcomes[64];

static void tally(const char *name) {
    for (int i = 0; i < 64; i++) {
        if (outcomes[i].count > 0 && strcmp(outcomes[i].name, name) != 0) continue;
        snprintf(outcomes[i].name, sizeof(outcomes[i].name), "%s", name);
        outcomes[i].count++;
        return;
    }
}

_Noreturn static void swap(const char *left, const char *right, unsigned long *swaps) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        if (renameat2(AT_FDCWD, left, AT_FDCWD, right, RENAME_EXCHANGE) == 0) ++*swaps;
}

static unsigned events(int watch) {
    char buffer[8192] __attribute__((aligned(8)));
    unsigned count = 0;
    for (ssize_t n; (n = read(watch, buffer, sizeof(buffer))) > 0;) {
        for (char *at = buffer; at < buffer + n;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            count++;
            at += sizeof(*event) + event->len;
        }
    }
    return count;
}

_Noreturn static void work(const uint8_t *plan, size_t length, int rounds, int join, int argc, char **argv) {
    const struct launch_stdio stdio = {-1, -1, -1};
    for (int round = rounds; round > 0; round--) {
        struct launch_process process;
        struct plan_error failure;
        char name[96];
        int code;
        if (launch_run(plan, length, &stdio, join, 0, &process, &failure) < 0) {
            const char *error = strerrorname_np(failure.error);
            snprintf(name, sizeof(name), "%s %s", failure.syscall, error ? error : "?");
        } else {
            while (waitpid(process.pid, &code, 0) < 0 && errno == EINTR)
                continue;
            snprintf(name, sizeof(name), "exit %d", WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code));
            close(process.pidfd);
            if (process.console >= 0) close(process.console);
        }
        tally(name);
        for (int i = 6; i + 1 < argc; i += 2)
            if (strcmp(argv[i], "--clean") == 0) remove(argv[i + 1]);
    }
    for (int i = 0; i < 64 && outcomes[i].count > 0; i++)
        printf("%s %u\n", outcomes[i].name, outcomes[i].count);
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    int file = open(argv[1], O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) < 0) return 2;
    const uint8_t *plan = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    unsigned long *swaps = mmap(NULL, sizeof(*swaps), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    uint32_t mask = IN_CREATE | IN_DELETE | IN_ATTRIB | IN_MODIFY | IN_MOVE;
    if (plan == MAP_FAILED || swaps == MAP_FAILED || inotify_add_watch(watch, argv[3], mask) < 0) return 2;
    int join = -1;
    for (int i = 6; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--join") == 0) join = (int)syscall(SYS_pidfd_open, atoi(argv[i + 1]), 0);
    pid_t swapper = fork();
    if (swapper == 0) swap(argv[4], argv[5], swaps);
    /* From the first round on. */
    while (*(volatile unsigned long *)swaps == 0)
        usleep(100);
    /* What one of them deleted would take the mounts on it away from the others. */
    int workers = WORKERS;
    for (int i = 6; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--clean") == 0) workers = 1;
    for (int worker = 0; worker < workers; worker++)
        if (fork() == 0) work(plan, (size_t)status.st_size, (atoi(argv[2]) + workers - 1) / workers, join, argc, argv);
    for (int worker = 0; worker < workers;)
        if (wait(NULL) > 0) worker++;
    kill(swapper, SIGKILL);
    waitpid(swapper, NULL, 0);
    printf("touched %u\nswaps %lu\n", events(watch), *swaps);
    return 0;
}
