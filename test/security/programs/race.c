/*
 * Launches one plan many times with the executor's own code, while another process exchanges two names of a volume over
 * and over, as a second container that has the volume could.
 *
 *   race PLAN ROUNDS WATCHED LEFT RIGHT [--join PID] [--clean PATH]…
 *
 * LEFT and RIGHT are exchanged by renameat2(2), or, where they are "-", others exchange something. A command with a
 * terminal says something there; if that does not arrive at the master, it has another one, which counts as "exit 42". WATCHED is a directory of the host's that nothing may happen to. The
 * paths to clean are deleted after each round, so that the next one makes them again. Several processes share the rounds,
 * as most of a round is waiting for the kernel to be done with the mounts. Prints lines, from each process for each
 * outcome and how often there was it, "exit N" of the command or "CALL ERRNO" of the step that failed, then "touched N"
 * for what happened to WATCHED, and "swaps N".
 *
 * Linked with weak.c, a path is looked up safely but then used by its name, as runtimes once did: that must be found out,
 * or the race is none.
 */
#define _GNU_SOURCE
#include "../../../native/executor/launch.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
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

/* Its process has ended. */
static bool heard(int master) {
    char byte;
    return fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK) == 0 && read(master, &byte, 1) == 1;
}

_Noreturn static void work(const uint8_t *plan, size_t length, int rounds, int join, int argc, char **argv) {
    const struct launch_stdio stdio = {-1, -1, -1};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
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
            int status = WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
            snprintf(name, sizeof(name), "exit %d", process.console < 0 || heard(process.console) ? status : 42);
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
    bool alone = strcmp(argv[4], "-") == 0;
    pid_t swapper = alone ? -1 : fork();
    if (swapper == 0) swap(argv[4], argv[5], swaps);
    /* From the first round on. */
    while (!alone && *(volatile unsigned long *)swaps == 0)
        usleep(100);
    /* What one of them deleted would take the mounts on it away from the others. */
    int workers = WORKERS;
    for (int i = 6; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--clean") == 0) workers = 1;
    for (int worker = 0; worker < workers; worker++)
        if (fork() == 0) work(plan, (size_t)status.st_size, (atoi(argv[2]) + workers - 1) / workers, join, argc, argv);
    for (int worker = 0; worker < workers;)
        if (wait(NULL) > 0) worker++;
    if (!alone) kill(swapper, SIGKILL);
    if (!alone) waitpid(swapper, NULL, 0);
    printf("touched %u\nswaps %lu\n", events(watch), *swaps);
    return 0;
}
