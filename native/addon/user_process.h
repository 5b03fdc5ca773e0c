/*
 * A process that holds new namespaces owned by a new user namespace, which the threads of a job cannot make:
 * the kernel gives a user namespace to a process of one thread only. It is a copy of the daemon that executes
 * nothing, closes every descriptor, and ends with its holder.
 */
#ifndef GANTRY_ADDON_USER_PROCESS_H
#define GANTRY_ADDON_USER_PROCESS_H

#include "job.h"
#include <sys/types.h>

struct user_process {
    pid_t pid;
    int channel;
};

/*
 * Makes the process in a new user namespace and in others that it owns (CLONE_NEW*), with the lines of
 * uid_map and gid_map, and runs set_up in it as their root: only calls that are safe after a fork of one
 * thread. What it reports by job_fail is the failure of the job here. 0, or -1 after job_fail with nothing
 * left.
 */
int user_process_start(struct user_process *process, int proc, uint64_t flags, const char *uid_map,
                       const char *gid_map, void (*set_up)(struct job *job), struct job *job);
void user_process_end(struct user_process *process);

#endif
