/*
 * Copying what a directory of the root filesystem holds into a new filesystem that is about to cover it.
 */
#ifndef GANTRY_COPY_UP_H
#define GANTRY_COPY_UP_H

#include "context.h"

/*
 * Copies the content of one directory into another, empty one, with types, owners, modes and times; links are
 * copied and not followed. `path` is for the error. 0 or -1 (plan_fail).
 */
int copy_up(struct plan_context *context, int source, int target, const char *path);

#endif
