/*
 * Mounting an overlay: by parts with the new mount API where the kernel takes lower directories one by one
 * (6.7), else by mount(2) with everything in one string.
 */
#ifndef GANTRY_OVERLAY_H
#define GANTRY_OVERLAY_H

#include "context.h"

struct overlay_request {
    const char *lower; /* list of strings, the topmost directory first */
    uint32_t lower_count;
    const char *options; /* list of strings, key=value or key */
    uint32_t option_count;
    const char *upper, *work; /* "" for a read-only mount */
    bool classic;             /* mount(2) from the start */
    bool detached;            /* not mounted on anything */
    uint32_t uid, gid;        /* whom the kernel makes the work directory for; 0: for us */
    const char *base, *data;  /* for mount(2): what the paths in data are relative to; "" if not possible */
};

/*
 * Mounts it on a host directory; "" is the old root directory, which the mount then covers for all but
 * descriptors. A detached one is nowhere, and the target is only where it was for a moment. The mount's
 * descriptor, or -1 (plan_fail).
 */
int overlay_mount(struct plan_context *context, const struct overlay_request *request, const char *target);

#endif
