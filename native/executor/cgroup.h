/*
 * Entering a v1 control group, cheaply.
 *
 * Writing a pid to cgroup.procs makes the kernel wait for an RCU grace period (some 8 ms for the first write
 * in a while), because a process may have several threads. A single-threaded process that writes "0" to
 * `tasks` moves its only thread, the same thing, and waits for nothing (Linux 5.5). So the process moves
 * itself.
 */
#ifndef GANTRY_CGROUP_H
#define GANTRY_CGROUP_H

/* Moves the calling, single-threaded process: `file` is the host path of a `tasks` file. 0, or -1 with errno.
 */
int cgroup_enter(const char *file);

#endif
