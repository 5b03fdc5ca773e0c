/* Jobs on threads of their own. See job.h. */
#define _GNU_SOURCE
#include "job.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define JOB_STACK_BYTES (128 * 1024)

void job_fail(struct job *job, const char *syscall, const char *path) {
    job->error = errno;
    job->syscall = syscall;
    size_t length = path ? strlen(path) : 0;
    if (length >= sizeof job->path) length = sizeof job->path - 1;
    if (length > 0) memcpy(job->path, path, length);
    job->path[length] = 0;
}

/* On the JavaScript thread. env is NULL when the environment is being torn down. */
static void job_complete(napi_env env, napi_value callback, void *context, void *data) {
    (void)callback;
    (void)context;
    struct job *job = data;
    if (env != NULL) {
        if (job->error != 0) {
            napi_reject_deferred(
                env, job->deferred,
                addon_make_errno(env, job->error, job->syscall, job->path[0] ? job->path : NULL));
        } else {
            napi_value value = job->result ? job->result(env, job) : NULL;
            if (value == NULL) napi_get_undefined(env, &value);
            napi_resolve_deferred(env, job->deferred, value);
        }
    }
    job->release(job);
}

static void *job_thread(void *argument) {
    struct job *job = argument;
    napi_threadsafe_function done = job->done;
    job->run(job);
    if (napi_call_threadsafe_function(done, job, napi_tsfn_nonblocking) != napi_ok) job->release(job);
    napi_release_threadsafe_function(done, napi_tsfn_release);
    return NULL;
}

static int job_spawn(struct job *job) {
    pthread_attr_t attributes;
    int err = pthread_attr_init(&attributes);
    if (err != 0) return err;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, JOB_STACK_BYTES);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the main thread */
    pthread_t thread;
    err = pthread_create(&thread, &attributes, job_thread, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return err;
}

napi_value job_start(napi_env env, struct job *job) {
    napi_value name, promise;
    if (napi_create_string_utf8(env, "gantry job", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, NULL, job_complete,
                                        &job->done) != napi_ok) {
        job->release(job);
        return addon_throw_errno(env, ENOMEM, "napi_create_threadsafe_function", NULL);
    }
    napi_threadsafe_function done = job->done;
    if (napi_create_promise(env, &job->deferred, &promise) != napi_ok) {
        napi_release_threadsafe_function(done, napi_tsfn_abort);
        job->release(job);
        return addon_throw_errno(env, ENOMEM, "napi_create_promise", NULL);
    }
    int err = job_spawn(job);
    if (err != 0) {
        napi_reject_deferred(env, job->deferred, addon_make_errno(env, err, "pthread_create", NULL));
        napi_release_threadsafe_function(done, napi_tsfn_abort);
        job->release(job);
    }
    return promise;
}
