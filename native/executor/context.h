/*
 * What the operations of a plan share while they run: the descriptors that earlier ones opened, and how a
 * failure is reported. An operation is a function that gets the context and its record, and returns 0, or -1
 * after plan_fail(), with whatever it opened closed again (the process exits after a failure, so that leaks
 * nothing).
 */
#ifndef GANTRY_CONTEXT_H
#define GANTRY_CONTEXT_H

#include "launch.h"
#include "plan_generated.h"
#include <limits.h>
#include <sys/types.h>

struct plan_context {
    pid_t pid;      /* of the process, as the launcher sees it; 0 in the process itself */
    uint32_t flags; /* PLAN_LAUNCH_* */
    int sync;       /* this side's end of the socket between launcher and process */
    int join;       /* pidfd of the container that an exec joins, or -1 */
    int proc;       /* verified procfs root, or -1 while nobody needed it */
    int root;       /* the root filesystem's mount, or -1 before there is one */
    int gate;       /* the start gate's fifo, or -1 */
    int null;       /* the container's /dev/null, verified, or -1 */
    int empty;      /* an empty read-only tmpfs directory for masked paths, or -1 */
    int directory;  /* the last directory that devices or links were made in, or -1 */
    char directory_path[64];
    uint32_t id_map_count;
    int id_maps[PLAN_KEPT_ID_MAPS]; /* user namespaces */
    int *mounts;                    /* detached ones by their numbers from 1, or NULL; 0: none */
    char **args, **env;             /* of the command; see op_prepare_exec */
    bool old_kernel;                /* mount_setattr(2) is missing */
    bool cwd_done;                  /* the working directory is set */
    bool listened;                  /* a seccomp listener has been handed over */
    bool die_together;              /* the process does not outlive its launcher */
    struct plan_error *failure;
};

typedef int plan_operation(struct plan_context *context, const struct wire_record *record);

/* Records errno with the call and the path (NULL: none) that it is about. Always -1. */
int plan_fail(struct plan_context *context, const char *syscall_name, const char *path);
/* The same with a given errno. */
int plan_fail_with(struct plan_context *context, int error, const char *syscall_name, const char *path);
/* A record whose spans are wrong: EBADMSG. Always -1. */
int plan_malformed(struct plan_context *context);

/* Copies a record's fields into a new variable of its struct. */
#define PLAN_FIELDS(type, name)                                                                              \
    struct plan_##type name;                                                                                 \
    wire_fields(record, &name, sizeof(name))

/* Declares a string of the record; returns from the operation when the plan is malformed. */
#define PLAN_STRING(name, span)                                                                              \
    const char *name = wire_string(record, span);                                                            \
    if (name == NULL) return plan_malformed(context)

/* Declares the first string of a list of the record. */
#define PLAN_STRINGS(name, list)                                                                             \
    const char *name = wire_strings(record, list);                                                           \
    if (name == NULL) return plan_malformed(context)

/* Closes a descriptor at the end of its scope. */
static inline void plan_close(const int *fd);
#define PLAN_FD __attribute__((cleanup(plan_close))) int

int close(int fd);
static inline void plan_close(const int *fd) {
    if (*fd >= 0) close(*fd);
}

#endif
