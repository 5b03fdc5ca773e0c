/* Walking over a plan's operations. See interpret.h. */
#define _GNU_SOURCE
#include "interpret.h"
#include "channel.h"
#include "operations.h"
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static int op_rendezvous(struct plan_context *context, const struct wire_record *record);
static int op_gate(struct plan_context *context, const struct wire_record *record);

struct plan_entry {
    uint16_t code;
    plan_operation *run;
};

static const struct plan_entry ENTRIES[] = {
    {PLAN_OP_RENDEZVOUS, op_rendezvous},
    {PLAN_OP_FORK, op_fork},
    {PLAN_OP_GATE, op_gate},
    {PLAN_OP_JOIN_PIDFD, op_join_pidfd},
    {PLAN_OP_JOIN_NAMESPACE, op_join_namespace},
    {PLAN_OP_UNSHARE, op_unshare},
    {PLAN_OP_TIME_OFFSETS, op_time_offsets},
    {PLAN_OP_BECOME_ROOT, op_become_root},
    {PLAN_OP_CGROUP_JOIN, op_cgroup_join},
    {PLAN_OP_KEYRING, op_keyring},
    {PLAN_OP_CURRENT_ROOT, op_current_root},
    {PLAN_OP_PROPAGATION, op_propagation},
    {PLAN_OP_PRIVATE_MOUNT, op_private_mount},
    {PLAN_OP_ROOT_OVERLAY, op_root_overlay},
    {PLAN_OP_ROOT_BIND, op_root_bind},
    {PLAN_OP_MOUNT, op_mount},
    {PLAN_OP_BIND, op_bind},
    {PLAN_OP_IMAGE_VOLUME, op_image_volume},
    {PLAN_OP_REMOUNT, op_remount},
    {PLAN_OP_MAKE_DIRECTORY, op_make_directory},
    {PLAN_OP_DEVICE, op_device},
    {PLAN_OP_SYMLINK, op_symlink},
    {PLAN_OP_READONLY_PATH, op_readonly_path},
    {PLAN_OP_MASK_PATH, op_mask_path},
    {PLAN_OP_PIVOT, op_pivot},
    {PLAN_OP_ROOT_ATTRIBUTES, op_root_attributes},
    {PLAN_OP_ID_MAP, op_keep_id_map},
    {PLAN_OP_JOIN_ID_MAP, op_join_id_map},
    {PLAN_OP_MAP_DIRECTORY, op_map_directory},
    {PLAN_OP_PREPARE_BIND, op_prepare_bind},
    {PLAN_OP_ATTACH, op_attach},
    {PLAN_OP_KEEP_SOURCE, op_keep_source},
    {PLAN_OP_ROOT_ATTACH, op_root_attach},
    {PLAN_OP_SYSCTL, op_sysctl},
    {PLAN_OP_HOSTNAME, op_hostname},
    {PLAN_OP_DOMAINNAME, op_domainname},
    {PLAN_OP_OPEN_FIFO, op_open_fifo},
    {PLAN_OP_HOOK, op_hook},
    {PLAN_OP_CONSOLE, op_console},
    {PLAN_OP_SESSION, op_session},
    {PLAN_OP_OWN_STDIO, op_own_stdio},
    {PLAN_OP_RLIMIT, op_rlimit},
    {PLAN_OP_OOM_SCORE, op_oom_score},
    {PLAN_OP_PERSONALITY, op_personality},
    {PLAN_OP_MEMORY_POLICY, op_memory_policy},
    {PLAN_OP_IO_PRIORITY, op_io_priority},
    {PLAN_OP_CPU_AFFINITY, op_cpu_affinity},
    {PLAN_OP_SECURITY_LABEL, op_security_label},
    {PLAN_OP_WORKING_DIRECTORY, op_working_directory},
    {PLAN_OP_CLOSE_DESCRIPTORS, op_close_descriptors},
    {PLAN_OP_NO_NEW_PRIVILEGES, op_no_new_privileges},
    {PLAN_OP_BOUNDING_SET, op_bounding_set},
    {PLAN_OP_USER, op_user},
    {PLAN_OP_CAPABILITIES, op_capabilities},
    {PLAN_OP_SECCOMP, op_seccomp},
    {PLAN_OP_SECCOMP_LISTEN, op_seccomp_listen},
    {PLAN_OP_CHECK_COMMAND, op_check_command},
    {PLAN_OP_EXEC, op_exec},
    {PLAN_OP_PAUSE, op_pause},
    {PLAN_OP_END, op_end},
    {PLAN_OP_RUNTIME_COMMAND, op_runtime_command},
    {PLAN_OP_ADOPT, op_adopt},
    {PLAN_OP_PARENT_ID_MAP, op_id_map},
    {PLAN_OP_PARENT_RLIMIT, op_rlimit},
    {PLAN_OP_PARENT_OOM_SCORE, op_oom_score},
    {PLAN_OP_PARENT_HOOK, op_hook},
    {PLAN_OP_PARENT_SCHEDULER, op_scheduler},
    {PLAN_OP_PARENT_NET_DEVICE, op_net_device},
};

static int run(struct plan_context *context, const struct wire_record *record) {
    for (size_t i = 0; i < sizeof(ENTRIES) / sizeof(ENTRIES[0]); i++) {
        if (ENTRIES[i].code == record->header.code) return ENTRIES[i].run(context, record);
    }
    return plan_fail_with(context, ENOSYS, "plan", NULL);
}

int interpret_parent(struct plan_context *context, const struct wire_record *record) {
    return run(context, record);
}

struct plan_file_header {
    uint32_t magic, fingerprint, length, count;
};
_Static_assert(sizeof(struct plan_file_header) == PLAN_HEADER_BYTES, "plan header");

int plan_open(struct plan_context *context, const uint8_t *plan, size_t length,
              struct wire_cursor *operations, struct wire_record *launch) {
    struct plan_file_header header;
    if (length < sizeof(header) || length > PLAN_HEADER_MAX_BYTES) return plan_malformed(context);
    memcpy(&header, plan, sizeof(header));
    if (header.magic != PLAN_HEADER_MAGIC || header.length != length) return plan_malformed(context);
    /* Written by another build than this one. */
    if (header.fingerprint != PLAN_FINGERPRINT) return plan_fail_with(context, EPROTO, "plan", NULL);
    *operations = (struct wire_cursor){plan + sizeof(header), length - sizeof(header)};
    struct wire_cursor rest = *operations;
    struct wire_record record;
    uint32_t count = 0;
    while (wire_next(&rest, &record)) {
        if (count++ == 0) *launch = record;
    }
    if (rest.left != 0 || count != header.count || count < 2 || count > PLAN_HEADER_MAX_OPERATIONS)
        return plan_malformed(context);
    return launch->header.code == PLAN_OP_LAUNCH ? 0 : plan_malformed(context);
}

/* Waits for the launcher; it being gone means that nobody wants the process any more. */
static int wait_release(struct plan_context *context) {
    struct channel_message message;
    int fd;
    if (channel_receive(context->sync, &message, &fd) < 0) return plan_fail(context, "recvmsg", NULL);
    if (message.kind == CHANNEL_END) _exit(126);
    return message.kind == CHANNEL_RELEASE ? 0 : plan_malformed(context);
}

static int op_rendezvous(struct plan_context *context, const struct wire_record *record) {
    (void)record;
    if (channel_signal(context->sync, CHANNEL_REACHED) < 0) return plan_fail(context, "sendmsg", NULL);
    return wait_release(context);
}

static int op_gate(struct plan_context *context, const struct wire_record *record) {
    (void)record;
    /* Behind a filter with a listener, the launcher knows already; what the filter does to sendmsg(2) is
     * open. */
    if (!context->listened && channel_signal(context->sync, CHANNEL_READY) < 0)
        return plan_fail(context, "sendmsg", NULL);
    if (context->gate < 0) return wait_release(context);
    char byte;
    ssize_t got;
    do
        got = read(context->gate, &byte, 1);
    while (got < 0 && errno == EINTR);
    /* Stays open until the exec, by which `start` knows; see report_failure. */
    return got == 1 ? 0 : plan_fail(context, "read", "start gate");
}

/* To the launcher, and into the gate's fifo: once `start` has opened the gate, it is who wants to know. */
static void report_failure(const struct plan_context *context, const struct channel_message *message) {
    channel_send(context->sync, message, -1);
    const struct plan_error *failure = &message->failure;
    size_t length = offsetof(struct plan_error, said) + strlen(failure->said);
    if (context->gate >= 0 && write(context->gate, failure, length) < 0) _exit(126);
}

static int prepare_command(struct plan_context *context, struct wire_cursor operations) {
    struct wire_record record;
    for (int32_t index = 0; wire_next(&operations, &record); index++) {
        context->failure->operation = index;
        if (record.header.code == PLAN_OP_EXEC) return op_prepare_exec(context, &record);
    }
    return 0;
}

/* Reports the failure, and ends. */
_Noreturn static void fail(const struct plan_context *context, const struct channel_message *message) {
    int status = message->failure.error == ENOENT ? 127 : 126;
    report_failure(context, message);
    _exit(status);
}

_Noreturn void interpret_process(struct plan_context *context, struct wire_cursor operations) {
    struct channel_message message = {.kind = CHANNEL_FAILED};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(0);
    context->failure = &message.failure;
    if (prepare_command(context, operations) < 0) fail(context, &message);
    struct wire_record record;
    for (int32_t index = 0; wire_next(&operations, &record); index++) {
        uint16_t code = record.header.code;
        if (code == PLAN_OP_LAUNCH || code & PLAN_HEADER_PARENT_BIT) continue;
        message.failure.operation = index;
        if (run(context, &record) < 0) fail(context, &message);
    }
    /* A plan whose last operation returns. */
    plan_malformed(context);
    channel_send(context->sync, &message, -1);
    _exit(126);
}
