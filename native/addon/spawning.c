/* posix_spawn, with what all programs are started with. See spawning.h. */
#define _GNU_SOURCE
#include "spawning.h"

#include <signal.h>
#include <spawn.h>

static int add_descriptors(const struct spawning *spawning, posix_spawn_file_actions_t *actions) {
    int err = 0, count = (int)spawning->count;
    for (int fd = 0; fd < spawning->kept && err == 0; fd++)
        err = posix_spawn_file_actions_adddup2(actions, fd, fd);
    for (int i = 0; i < count && err == 0; i++)
        err = posix_spawn_file_actions_adddup2(actions, spawning->descriptors[i], spawning->kept + i);
    return err != 0 ? err : posix_spawn_file_actions_addclosefrom_np(actions, spawning->kept + count);
}

int spawn_program(const struct spawning *spawning, pid_t *pid) {
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int err = posix_spawnattr_init(&attributes);
    if (err != 0) return err;
    if ((err = posix_spawn_file_actions_init(&actions)) != 0) {
        posix_spawnattr_destroy(&attributes);
        return err;
    }
    int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (spawning->session ? POSIX_SPAWN_SETSID : 0);
    posix_spawnattr_setflags(&attributes, (short)flags);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    err = add_descriptors(spawning, &actions);
    if (err == 0)
        err = posix_spawn(pid, spawning->path, &actions, &attributes, spawning->arguments,
                          spawning->environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return err;
}
