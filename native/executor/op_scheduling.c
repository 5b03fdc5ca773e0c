/* Operations on how the process is run: personality, scheduler, I/O priority, processors, memory nodes. */
#define _GNU_SOURCE
#include "operations.h"
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IOPRIO_WHO_PROCESS 1

struct kernel_sched_attr {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

int op_personality(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(personality, op);
    return personality((unsigned long)op.persona) < 0 ? plan_fail(context, "personality", NULL) : 0;
}

int op_scheduler(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(parent_scheduler, op);
    struct kernel_sched_attr attr = {.size = sizeof(attr),
                                     .policy = op.policy,
                                     .flags = op.flags,
                                     .nice = op.nice,
                                     .priority = op.priority,
                                     .runtime = op.runtime,
                                     .deadline = op.deadline,
                                     .period = op.period};
    return syscall(SYS_sched_setattr, context->pid, &attr, 0) < 0 ? plan_fail(context, "sched_setattr", NULL)
                                                                  : 0;
}

int op_io_priority(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(io_priority, op);
    if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, op.priority) < 0)
        return plan_fail(context, "ioprio_set", NULL);
    return 0;
}

int op_cpu_affinity(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(cpu_affinity, op);
    const uint8_t *mask = wire_bytes(record, op.mask);
    if (mask == NULL) return plan_malformed(context);
    if (syscall(SYS_sched_setaffinity, 0, op.mask.length, mask) < 0)
        return plan_fail(context, "sched_setaffinity", NULL);
    return 0;
}

int op_memory_policy(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(memory_policy, op);
    const uint8_t *nodes = wire_bytes(record, op.nodes);
    if (nodes == NULL) return plan_malformed(context);
    /* The kernel counts one bit more than it reads. */
    unsigned long bits = op.nodes.length == 0 ? 0 : (unsigned long)op.nodes.length * 8 + 1;
    if (syscall(SYS_set_mempolicy, op.mode, bits == 0 ? NULL : nodes, bits) < 0)
        return plan_fail(context, "set_mempolicy", NULL);
    return 0;
}
