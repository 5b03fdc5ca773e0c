/*
 * The launcher's way to a seccomp agent: it gets the listener of the process's filter with the container
 * process state of the OCI runtime specification, one state for each connection. The JSON came with the plan;
 * only the pid is put in here.
 */
#ifndef GANTRY_AGENT_H
#define GANTRY_AGENT_H

#include "context.h"

/* A connection to the agent of a PARENT_LISTENER record, or -1 (plan_fail). Waits for seconds, not
 * longer, nor longer than the process lives. */
int agent_connect(struct plan_context *context, const struct wire_record *record);

/* Sends the record's state with the descriptor, and waits as long. 0 or -1 (plan_fail). */
int agent_send(struct plan_context *context, const struct wire_record *record, int agent, int listener);

#endif
