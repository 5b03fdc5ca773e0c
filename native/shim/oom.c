/*
 * Whether the kernel has killed processes of the container's control group for want of memory.
 *
 * The group counts them, but may be gone before the shim has heard of the container's end: systemd removes
 * the group of a scope as soon as nothing runs in it. On cgroup v2 the counter is therefore read at each of
 * its changes; and the group above, which has counted the same kill and stays, tells what was counted since.
 * That may have been a neighbour's, between the end of the group and ours: so it counts only for an end that
 * such a kill brings.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

/* The number after "oom_kill " at a line's start: v2 memory.events and v1 memory.oom_control both have it. */
static bool count(int fd, uint64_t *value) {
    char text[512];
    ssize_t n = fd < 0 ? -1 : record_read(fd, text, sizeof text);
    if (n <= 0) return false;
    *value = 0;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, "oom_kill ", 9) != 0) continue;
        for (const char *at = line + 9; *at >= '0' && *at <= '9'; at++)
            *value = *value * 10 + (uint64_t)(*at - '0');
    }
    return true;
}

static void watch_counter(struct shim *shim, struct watch *watch, int fd) {
    watch_open(watch, fd, WATCH_OOM, 0);
    /* Refused for files of other filesystems, which tests have. */
    watch_want(shim->epoll, watch, EPOLLPRI);
}

void oom_open(struct shim *shim, const char *directory, bool new_group) {
    struct oom *oom = &shim->oom;
    int group = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (group < 0) return;
    int above = openat(group, "../memory.events", O_RDONLY | O_CLOEXEC);
    int own = openat(group, "memory.events", O_RDONLY | O_CLOEXEC);
    if (own >= 0) {
        watch_counter(shim, &oom->above, above);
        watch_counter(shim, &oom->own, own);
    } else {
        if (above >= 0) close(above);
        watch_open(&oom->own, openat(group, "memory.oom_control", O_RDONLY | O_CLOEXEC), WATCH_OOM, 0);
    }
    close(group);
    oom_look(shim);
    if (!new_group) oom->before = oom->seen;
}

void oom_look(struct shim *shim) {
    struct oom *oom = &shim->oom;
    /* In this order: a kill in between is counted at least here. */
    uint64_t above, own;
    bool above_there = count(oom->above.fd, &above), own_there = count(oom->own.fd, &own);
    if (own_there) oom->seen = own;
    if (own_there && above_there) oom->above_seen = above;
    /* What is gone would be ready for ever. */
    if (!above_there || !own_there) watch_want(shim->epoll, &oom->above, 0);
    if (!own_there) watch_want(shim->epoll, &oom->own, 0);
}

bool oom_killed(struct shim *shim, int status) {
    struct oom *oom = &shim->oom;
    uint64_t now;
    bool killed;
    if (count(oom->own.fd, &now)) {
        killed = now > oom->before;
    } else {
        bool fits = WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 128 + SIGKILL;
        killed = oom->seen > oom->before || (fits && count(oom->above.fd, &now) && now > oom->above_seen);
    }
    watch_close(shim->epoll, &oom->own);
    watch_close(shim->epoll, &oom->above);
    return killed;
}
