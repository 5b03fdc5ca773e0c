/*
 * The two walks over a plan's operations: that of the process, and that of the launcher, which executes those
 * with the parent bit and waits where they meet.
 */
#ifndef GANTRY_INTERPRET_H
#define GANTRY_INTERPRET_H

#include "context.h"

/* Checks header and structure (not the fields' contents), and finds the LAUNCH operation. 0 or -1
 * (plan_fail). */
int plan_open(struct plan_context *context, const uint8_t *plan, size_t length,
              struct wire_cursor *operations, struct wire_record *launch);

/* The process: executes all operations of its own, the last of which does not return. Exits after a failure.
 */
_Noreturn void interpret_process(struct plan_context *context, struct wire_cursor operations);

/* Executes one operation of the launcher's. 0 or -1 (plan_fail). */
int interpret_parent(struct plan_context *context, const struct wire_record *record);

#endif
