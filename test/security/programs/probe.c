/*
 * The command of a raced container: looks where its mounts are and tells by its exit status.
 *
 *   probe mount ROOT…      0 or 1: each mount whose root ends with ROOT, or whose source it is, is in the namespace once; 0 below /v or /dev, 1
 *                          elsewhere in the root filesystem; 42: one is not, so it lies outside
 *   probe empty DIRECTORY… 42 if there is a file "secret" in one of them
 *   probe cwd DEV INO      0, 42 if the directory is that one or has no path in the root, 1: not below /v
 *   probe null PATH        42 unless it is the null device
 *   probe terminal [DEV]   42 unless the standard streams and /dev/console are one terminal of a devpts, which is not the
 *                          one of that number; says something there
 *   probe either A B…      1: the device node A is there, 0: another one is, 42: none is
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define ESCAPED 42

/* 0 or 1 as above, -1 where it is not there or there twice. */
static int find(const char *wanted) {
    char line[4096], root[2048], place[2048];
    int found = -1, times = 0;
    FILE *file = fopen("/proc/self/mountinfo", "r");
    if (file == NULL) exit(3);
    size_t length = strlen(wanted);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "%*d %*d %*s %2047s %2047s", root, place) != 2) continue;
        const char *rest = strstr(line, " - ");
        char source[256] = "";
        if (rest != NULL) sscanf(rest, " - %*s %255s", source);
        size_t have = strlen(root);
        if (strcmp(source, wanted) != 0 && (have < length || strcmp(root + have - length, wanted) != 0)) continue;
        times++;
        found = strncmp(place, "/v/", 3) == 0 || strncmp(place, "/dev/", 5) == 0 ? 0 : 1;
    }
    fclose(file);
    return times == 1 ? found : -1;
}

static int check_mounts(int count, char **roots) {
    int result = 0;
    for (int i = 0; i < count; i++) {
        int found = find(roots[i]);
        if (found < 0) return ESCAPED;
        result |= found;
    }
    return result;
}

static int check_cwd(const char *device, const char *inode) {
    char path[4096];
    struct stat status;
    if (getcwd(path, sizeof(path)) == NULL || path[0] != '/' || stat(".", &status) < 0) return ESCAPED;
    if (status.st_dev == (dev_t)strtoull(device, NULL, 10) && status.st_ino == (ino_t)strtoull(inode, NULL, 10))
        return ESCAPED;
    return strncmp(path, "/v/", 3) == 0 ? 0 : 1;
}

static int check_terminal(const char *other) {
    struct stat streams[3], console;
    struct statfs filesystem;
    for (int fd = 0; fd < 3; fd++) {
        if (fstat(fd, &streams[fd]) < 0 || !isatty(fd) || fstatfs(fd, &filesystem) < 0) return ESCAPED;
        if (filesystem.f_type != DEVPTS_SUPER_MAGIC || major(streams[fd].st_rdev) != 136) return ESCAPED;
        if (streams[fd].st_rdev != streams[0].st_rdev || streams[fd].st_dev != streams[0].st_dev) return ESCAPED;
        if (other != NULL && streams[fd].st_dev == (dev_t)strtoull(other, NULL, 10)) return ESCAPED;
    }
    /* By name it may be the other one of the two that are exchanged. */
    if (stat("/dev/console", &console) == 0 && S_ISCHR(console.st_mode) && console.st_rdev != streams[0].st_rdev)
        return ESCAPED;
    return write(1, "here\n", 5) == 5 ? 0 : ESCAPED;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    if (strcmp(argv[1], "mount") == 0) return check_mounts(argc - 2, argv + 2);
    if (strcmp(argv[1], "cwd") == 0 && argc == 4) return check_cwd(argv[2], argv[3]);
    if (strcmp(argv[1], "terminal") == 0) return check_terminal(argv[2]);
    if (strcmp(argv[1], "null") == 0) {
        struct stat status;
        bool null = stat(argv[2], &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
        return null ? 0 : ESCAPED;
    }
    if (strcmp(argv[1], "either") == 0) {
        /* Whichever of the two names the directory has at the moment. */
        struct stat status;
        for (int try = 0; try < 1000; try++)
            for (int i = 2; i < argc; i++)
                if (lstat(argv[i], &status) == 0 && S_ISCHR(status.st_mode)) return i == 2 ? 1 : 0;
        return ESCAPED;
    }
    if (strcmp(argv[1], "empty") == 0) {
        char path[256];
        for (int i = 2; i < argc; i++) {
            snprintf(path, sizeof(path), "%s/secret", argv[i]);
            if (access(path, F_OK) == 0) return ESCAPED;
        }
        return 0;
    }
    return 0;
}
