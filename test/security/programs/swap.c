/*
 * The command of a container that races with others, or with an exec in it: does one thing over and over.
 *
 *   swap exchange LEFT RIGHT [LEFT RIGHT]…   exchanges the two of each pair by renameat2(2), pair after pair
 *   swap cover FILE PLACE [FILE PLACE]…      makes each file or directory a mount, moves it on its place and back again:
 *                                            to unmount one takes the kernel too long
 *
 * Prints "ready" once it has begun, and now and then how often it has succeeded; runs until it is killed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* Between two lines of what it prints. */
#define MANY 16384

static int cover(const char *file, const char *place) {
    if (mount(file, place, NULL, MS_MOVE, NULL) < 0) return -1;
    return mount(place, file, NULL, MS_MOVE, NULL);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    bool covers = strcmp(argv[1], "cover") == 0;
    for (int i = 2; covers && i + 1 < argc; i += 2)
        if (mount(argv[i], argv[i], NULL, MS_BIND, NULL) < 0) return 1;
    for (unsigned long swaps = 0;;) {
        bool first = swaps == 0;
        for (int i = 2; i + 1 < argc; i += 2) {
            int done = covers ? cover(argv[i], argv[i + 1])
                              : renameat2(AT_FDCWD, argv[i], AT_FDCWD, argv[i + 1], RENAME_EXCHANGE);
            if (done < 0) {
                perror(argv[i]);
                return 1;
            }
            if (++swaps % MANY == 0) printf("swaps %lu\n", swaps);
        }
        if (first) printf("ready\n");
        fflush(stdout);
    }
}
