/*
 * Mounts by file descriptor: a mount is made detached, gets its attributes, and is attached to a descriptor
 * of its place. Where the kernel has no mount_setattr(2) (before 5.12), attributes follow by mount(2) once it
 * is attached.
 */
#ifndef GANTRY_MOUNTING_H
#define GANTRY_MOUNTING_H

#include "calls.h"
#include "context.h"

struct mount_change {
    uint64_t set, clear;                     /* MOUNT_ATTR_* of the mount itself */
    uint64_t recursive_set, recursive_clear; /* and of all mounts of the tree */
    uint64_t propagation; /* MS_PRIVATE, MS_SLAVE … with or without MS_REC; 0: leave it */
};

/* Attaches the detached mount to the place and applies the change. `path` is for the error. 0 or -1
 * (plan_fail). */
int mounting_attach(struct plan_context *context, int tree, int place, const struct mount_change *change,
                    const char *path);
/* Applies a change to an attached mount. */
int mounting_change(struct plan_context *context, int tree, const struct mount_change *change,
                    const char *path);

/*
 * A detached clone of what is on a host path. The path is one without symbolic links: whoever swaps a part of
 * it for one meanwhile gets ELOOP (O_PATH opens nothing). A descriptor, or -1 (plan_fail).
 */
int mounting_clone(struct plan_context *context, const char *source, bool recursive);

/* The place of a bind mount in the root, made where it is missing. A descriptor or -1 (plan_fail). */
int mounting_bind_place(struct plan_context *context, int tree, const char *target, uint32_t flags);
/* Keeps a detached mount under a number for ATTACH; the descriptor is the context's then. 0 or -1
 * (plan_fail).
 */
int mounting_keep(struct plan_context *context, int tree, uint32_t number);
/* A mount that was kept; the descriptor is the caller's then. Or -1 (plan_fail). */
int mounting_take(struct plan_context *context, uint32_t number);

/*
 * Maps the ids of a detached mount (of its tree: recursive) through a user namespace that the plan keeps, by
 * its number from 1; 0 does nothing. 0 or -1 (plan_fail).
 */
int mounting_map_ids(struct plan_context *context, int tree, uint32_t id_map, bool recursive,
                     const char *path);
/* Applies a change to a detached mount; the older way is only for attached ones. */
int mounting_prepare(struct plan_context *context, int tree, const struct mount_change *change,
                     const char *path);

/*
 * Changes parameters of the filesystem that is mounted at the place, in the same form as below. 0 or -1
 * (plan_fail).
 */
int mounting_reconfigure(struct plan_context *context, int place, const char *parameters, uint32_t count,
                         const char *path);

/*
 * A new detached mount of the filesystem. `parameters` is a list of `count` strings, "key=value" or "key";
 * source may be empty. The kernel's own message is added to the path of the failure. A descriptor or -1
 * (plan_fail).
 */
int mounting_filesystem(struct plan_context *context, const char *type, const char *source,
                        const char *parameters, uint32_t count, uint64_t attributes, const char *path);
/* One such parameter. 0, or -1 with errno. */
int mounting_parameter(int fs, const char *parameter);
/* Reports a failed call on a filesystem context, with the kernel's message. Always -1. */
int mounting_fail(struct plan_context *context, int fs, const char *syscall_name, const char *path);

#endif
