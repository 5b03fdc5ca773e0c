/* Operations that put the process into namespaces and control groups. */
#define _GNU_SOURCE
#include "calls.h"
#include "cgroup.h"
#include "channel.h"
#include "operations.h"
#include "procfs.h"
#include <errno.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>

/* The root directory of the pidfd's process, by way of the pid that the kernel tells. -1 with errno. */
static int joined_root(struct plan_context *context) {
    char name[PROC_FD_NAME + 4] = "self/fdinfo/";
    procfs_decimal(context->join, name + strlen(name));
    PLAN_FD info = procfs_open(context, name, O_RDONLY);
    if (info < 0) return -1;
    char text[1024];
    ssize_t length = read(info, text, sizeof(text) - 1);
    text[length < 0 ? 0 : length] = 0;
    const char *pid = strstr(text, "\nPid:\t");
    char path[32];
    size_t digits = pid == NULL ? 0 : strspn(pid + 6, "0123456789");
    if (digits == 0 || digits > 10) {
        errno = ESRCH;
        return -1;
    }
    memcpy(path, pid + 6, digits);
    strcpy(path + digits, "/root");
    return procfs_follow(context, path, O_PATH | O_DIRECTORY);
}

int op_join_pidfd(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(join_pidfd, op);
    PLAN_FD root = op.root != 0 ? joined_root(context) : -1;
    if (op.root != 0 && root < 0) return plan_fail(context, "openat", "root of the container's process");
    if (setns(context->join, (int)op.flags) < 0) return plan_fail(context, "setns", NULL);
    if (root >= 0 && (fchdir(root) < 0 || chroot(".") < 0)) return plan_fail(context, "chroot", NULL);
    return 0;
}

int op_join_namespace(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(join_namespace, op);
    PLAN_STRING(path, op.path);
    PLAN_FD file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return plan_fail(context, "open", path);
    return setns(file, (int)op.type) < 0 ? plan_fail(context, "setns", path) : 0;
}

int op_unshare(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(unshare, op);
    return unshare((int)op.flags) < 0 ? plan_fail(context, "unshare", NULL) : 0;
}

int op_time_offsets(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(time_offsets, op);
    PLAN_STRING(text, op.text);
    if (unshare(CLONE_NEWTIME) < 0) return plan_fail(context, "unshare", NULL);
    if (text[0] != 0 && procfs_write(context, "self/timens_offsets", text) < 0)
        return plan_fail(context, "write", "/proc/self/timens_offsets");
    PLAN_FD file = procfs_follow(context, "self/ns/time_for_children", O_RDONLY);
    if (file < 0 || setns(file, CLONE_NEWTIME) < 0) return plan_fail(context, "setns", "time");
    return 0;
}

int op_become_root(struct plan_context *context, const struct wire_record *record) {
    (void)record;
    if (syscall(SYS_setresgid, 0, 0, 0) < 0) return plan_fail(context, "setresgid", NULL);
    if (syscall(SYS_setresuid, 0, 0, 0) < 0) return plan_fail(context, "setresuid", NULL);
    return 0;
}

int op_cgroup_join(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(cgroup_join, op);
    PLAN_STRINGS(file, op.files);
    for (uint32_t i = 0; i < op.files.count; i++, file = wire_string_after(file)) {
        if (cgroup_enter(file) < 0) return plan_fail(context, "write", file);
    }
    return 0;
}

int op_fork(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(fork, op);
    /* From here on processes of the container may see us; they shall not look into us until the exec. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return plan_fail(context, "prctl", "PR_SET_DUMPABLE");
    struct clone_args args = {.flags = op.clone_flags | CLONE_PARENT | CLONE_CLEAR_SIGHAND};
    int pid = call_clone3(&args);
    if (pid < 0) return plan_fail(context, "clone3", NULL);
    if (pid > 0) _exit(0);
    /* The launcher learns the pid from the credentials that come with the message. */
    return channel_signal(context->sync, CHANNEL_FORKED) < 0 ? plan_fail(context, "sendmsg", NULL) : 0;
}

int op_keyring(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(keyring, op);
    PLAN_STRING(name, op.name);
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) < 0 && errno != ENOSYS)
        return plan_fail(context, "keyctl", name);
    return 0;
}
