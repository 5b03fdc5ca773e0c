/* Operations that make the process the one that was asked for: directory, user, capabilities, system call
 * filter. */
#define _GNU_SOURCE
#include "calls.h"
#include "operations.h"
#include "procfs.h"
#include "resolve.h"
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define LAST_CAPABILITY 63

/*
 * Resolved in the root without magic links, so that no descriptor of the host's can be a way out of it, and
 * checked afterwards (CVE-2024-21626).
 */
int op_working_directory(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(working_directory, op);
    PLAN_STRING(path, op.path);
    if (context->cwd_done) return 0;
    PLAN_FD directory = root_open(context, path, O_PATH | O_DIRECTORY, 0);
    if (directory < 0 || fchdir(directory) < 0) {
        bool refused = errno == EACCES || errno == EPERM;
        if (refused && op.flags & PLAN_TOLERATE_REFUSED) return 0;
        return plan_fail(context, "chdir", path);
    }
    char where[PATH_MAX];
    if (getcwd(where, sizeof(where)) == NULL) return plan_fail(context, "getcwd", path);
    if (where[0] != '/') return plan_fail_with(context, EXDEV, "getcwd", path);
    context->cwd_done = true;
    return 0;
}

int op_no_new_privileges(struct plan_context *context, const struct wire_record *record) {
    (void)record;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? plan_fail(context, "prctl", "PR_SET_NO_NEW_PRIVS")
                                                      : 0;
}

int op_bounding_set(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(bounding_set, op);
    for (unsigned long capability = 0; capability <= LAST_CAPABILITY; capability++) {
        if (op.mask & (1ULL << capability)) continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
        if (errno == EINVAL) return 0; /* beyond the kernel's last */
        return plan_fail(context, "prctl", "PR_CAPBSET_DROP");
    }
    return 0;
}

/* Whether the user namespace, which somebody else has made, lets nobody change groups. Keeps errno. */
static bool groups_denied(struct plan_context *context) {
    int error = errno;
    PLAN_FD file = error == EPERM ? procfs_open(context, "self/setgroups", O_RDONLY) : -1;
    char text[4] = {0};
    bool denied = file >= 0 && read(file, text, sizeof(text)) == sizeof(text) && memcmp(text, "deny", 4) == 0;
    errno = error;
    return denied;
}

int op_user(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(user, op);
    const uint8_t *groups = wire_bytes(record, op.groups);
    if (groups == NULL || op.groups.length % sizeof(gid_t) != 0) return plan_malformed(context);
    umask((mode_t)op.umask);
    if (op.flags & PLAN_USER_KEEP_CAPABILITIES && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return plan_fail(context, "prctl", "PR_SET_KEEPCAPS");
    if (syscall(SYS_setgroups, op.groups.length / sizeof(gid_t), groups) < 0) {
        if (op.groups.length > 0 || !groups_denied(context)) return plan_fail(context, "setgroups", NULL);
    }
    if (syscall(SYS_setresgid, op.gid, op.gid, op.gid) < 0) return plan_fail(context, "setresgid", NULL);
    if (syscall(SYS_setresuid, op.uid, op.uid, op.uid) < 0) return plan_fail(context, "setresuid", NULL);
    return 0;
}

int op_capabilities(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(capabilities, op);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(op.effective >> (32 * half));
        data[half].permitted = (uint32_t)(op.permitted >> (32 * half));
        data[half].inheritable = (uint32_t)(op.inheritable >> (32 * half));
    }
    if (syscall(SYS_capset, &header, data) < 0) return plan_fail(context, "capset", NULL);
    for (unsigned long capability = 0; capability <= LAST_CAPABILITY; capability++) {
        if (!(op.ambient & (1ULL << capability))) continue;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
            return plan_fail(context, "prctl", "PR_CAP_AMBIENT");
    }
    return 0;
}

int op_seccomp(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(seccomp, op);
    const uint8_t *program = wire_bytes(record, op.program);
    size_t count = op.program.length / sizeof(struct sock_filter);
    if (program == NULL || count > BPF_MAXINSNS) return plan_malformed(context);
    struct sock_fprog filter = {.len = (unsigned short)count};
    memcpy(&filter.filter, &program, sizeof(program));
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, op.flags, &filter) < 0)
        return plan_fail(context, "seccomp", NULL);
    return 0;
}
