/* Starting a program without copying our page tables. */
#ifndef GANTRY_ADDON_SPAWNING_H
#define GANTRY_ADDON_SPAWNING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct spawning {
    const char *path;
    char *const *arguments, *const *environment;
    int kept;               /* descriptors 0 … kept-1 go on as they are */
    const int *descriptors; /* these get the numbers from `kept` on; all else is closed */
    size_t count;
    bool session; /* one of its own */
};

/* No signal is blocked or ignored in it. 0 or an errno. */
int spawn_program(const struct spawning *spawning, pid_t *pid);

#endif
