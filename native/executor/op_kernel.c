/* Operations on kernel values: sysctls, names, limits, labels, id maps. */
#define _GNU_SOURCE
#include "operations.h"
#include "procfs.h"
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROC_PATH 512

/* Head and tail as one path. False when it does not fit. */
static bool join_text(char out[PROC_PATH], const char *head, const char *tail) {
    size_t first = strlen(head);
    size_t second = strlen(tail);
    if (first + second >= PROC_PATH) return false;
    memcpy(out, head, first);
    memcpy(out + first, tail, second + 1);
    return true;
}

int op_sysctl(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(sysctl, op);
    PLAN_STRING(path, op.path);
    PLAN_STRING(value, op.value);
    char name[PROC_PATH];
    if (!join_text(name, "sys/", path)) return plan_fail_with(context, ENAMETOOLONG, "openat2", path);
    return procfs_write(context, name, value) < 0 ? plan_fail(context, "write", name) : 0;
}

int op_hostname(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(hostname, op);
    PLAN_STRING(name, op.name);
    return sethostname(name, op.name.length) < 0 ? plan_fail(context, "sethostname", name) : 0;
}

int op_domainname(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(domainname, op);
    PLAN_STRING(name, op.name);
    return setdomainname(name, op.name.length) < 0 ? plan_fail(context, "setdomainname", name) : 0;
}

int op_rlimit(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(rlimit, op);
    struct rlimit limit = {.rlim_cur = op.soft, .rlim_max = op.hard};
    if (syscall(SYS_prlimit64, context->pid, op.resource, &limit, NULL) < 0) {
        char number[24];
        procfs_decimal((long)op.resource, number);
        return plan_fail(context, "prlimit", number);
    }
    return 0;
}

int op_oom_score(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(oom_score, op);
    char text[24];
    char path[64];
    procfs_decimal(op.value, text);
    if (!procfs_process_name(context, "oom_score_adj", path, sizeof(path))) return plan_malformed(context);
    if (procfs_write(context, path, text) == 0) return 0;
    /* Only CAP_SYS_RESOURCE may lower it below what the process started with. */
    bool refused = errno == EACCES || errno == EPERM;
    if (refused && op.flags & PLAN_TOLERATE_REFUSED) return 0;
    return plan_fail(context, "write", path);
}

int op_security_label(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(security_label, op);
    PLAN_STRING(attribute, op.attribute);
    PLAN_STRING(label, op.label);
    char path[PROC_PATH];
    if (!join_text(path, "thread-self/attr/", attribute)) return plan_malformed(context);
    return procfs_write(context, path, label) < 0 ? plan_fail(context, "write", path) : 0;
}

int op_id_map(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(parent_id_map, op);
    PLAN_STRING(uids, op.uids);
    PLAN_STRING(gids, op.gids);
    char path[64];
    if (!procfs_process_name(context, "uid_map", path, sizeof(path))) return plan_malformed(context);
    if (procfs_write(context, path, uids) < 0) return plan_fail(context, "write", path);
    if (!procfs_process_name(context, "gid_map", path, sizeof(path))) return plan_malformed(context);
    return procfs_write(context, path, gids) < 0 ? plan_fail(context, "write", path) : 0;
}
