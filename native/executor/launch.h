/*
 * Launching: from a compiled plan to a process that is about to execute its command.
 *
 * launch_process() clones the process with the plan's namespaces and cgroups, lets it interpret the plan's
 * child operations up to the start gate, and returns once it stands there (or has failed, with the failing
 * operation reported and nothing left). launch_open_gate() lets it execute. The caller reaps the pid: the
 * process is always a direct child of the caller, for containers and execs alike (CLONE_PARENT where an
 * intermediate was needed).
 *
 * Used by the shim (containers and execs) and by `gantry-shim launch`, the native half of the gantry-oci
 * command.
 */
#ifndef GANTRY_LAUNCH_H
#define GANTRY_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LAUNCH_MAX_GATE_PATH 108

#define PLAN_SAID_BYTES 1024

/* What failed: facts only, TypeScript explains them. Up to `said` the format outlives builds. */
struct plan_error {
    int32_t operation; /* index in the plan's list, -1 before the first */
    int32_t error;     /* errno; 0 = no error */
    char syscall[32];  /* "openat2" */
    char path[256];    /* what it was about, shortened at the front with "…" bytes dropped; empty if none */
    char said[PLAN_SAID_BYTES]; /* the end of what a failing hook has said; empty if nothing */
};

/* The process's standard streams. With a terminal all three are -1 and the process makes its pty itself. */
struct launch_stdio {
    int in, out, err;
};

struct launch_process {
    pid_t pid;
    int pidfd;
    int gate;    /* write end of the start gate; -1 when the plan starts at once */
    int console; /* the pty's master, received from the process; -1 without a terminal */
};

/*
 * plan/length: a whole plan as TypeScript compiled it, not trusted to be of this build (checked).
 * join_pidfd: for exec plans, a pidfd of the container's init whose namespaces are joined; else -1.
 * 0 on success; -1 with *failure filled in, nothing left behind and no child to reap.
 */
int launch_process(const uint8_t *plan, size_t length, const struct launch_stdio *stdio, int join_pidfd,
                   struct launch_process *out, struct plan_error *failure);

/* The process becomes a child of the caller's parent (CLONE_PARENT); the caller cannot wait for it. */
#define LAUNCH_FOR_PARENT 1u
/* The process is killed when the caller dies (PR_SET_PDEATHSIG), also after its exec, unless that is of a
 * setuid file. */
#define LAUNCH_DIE_TOGETHER 2u

/* The same with LAUNCH_* flags; launch_process() has LAUNCH_DIE_TOGETHER. */
int launch_run(const uint8_t *plan, size_t length, const struct launch_stdio *stdio, int join_pidfd,
               unsigned int flags, struct launch_process *out, struct plan_error *failure);

/*
 * What `gantry-shim launch` writes to its result descriptor; the format outlives builds. After the first
 * LAUNCH_RESULT_BYTES comes what was said, without its NUL.
 */
#define LAUNCH_RESULT_MAGIC 0x31524c47u
struct launch_result {
    uint32_t magic;
    int32_t pid; /* 0 after a failure */
    struct plan_error failure;
};
#define LAUNCH_RESULT_BYTES offsetof(struct launch_result, failure.said)
_Static_assert(LAUNCH_RESULT_BYTES == 304, "launch result");

/*
 * Opens the gate and waits until the command has been executed (or a last operation has failed: -1,
 * *failure). Consumes process->gate. A process that has failed exits by itself; reaping it is left to the
 * caller, as with any other end.
 */
int launch_open_gate(struct launch_process *process, struct plan_error *failure);

#endif
