/*
 * Work on a thread of its own, with a promise for its end. For system calls that change what a thread is (its
 * namespaces) or that may wait for the kernel's locks: libuv's pool threads must neither stay in another
 * namespace nor be blocked for all others. The thread runs one job and exits.
 */
#ifndef GANTRY_ADDON_JOB_H
#define GANTRY_ADDON_JOB_H

#include "addon.h"

struct job {
    void (*run)(struct job *job);                        /* on the new thread; no N-API calls */
    napi_value (*result)(napi_env env, struct job *job); /* the promise's value; NULL for undefined */
    void (*release)(struct job *job);                    /* frees the job; called exactly once */
    int error;                                           /* set by run: errno, 0 = success */
    const char *syscall;                                 /* set with error; static text */
    char path[256];                                      /* set with error; empty if none */
    /* Private to job.c. */
    napi_deferred deferred;
    napi_threadsafe_function done;
};

/* Starts the job, which it owns from now on, and returns the promise; NULL with an exception pending on
 * failure. */
napi_value job_start(napi_env env, struct job *job);

/* For `run`: records the failure of a system call (with the current errno) on an object. path may be NULL. */
void job_fail(struct job *job, const char *syscall, const char *path);

#endif
