/*
 * Operations of the host phase: what a process does with its launcher's power before it joins a user
 * namespace, and what it later attaches of it. User namespaces serve as id maps of mounts here; see
 * mount_setattr(2).
 */
#define _GNU_SOURCE
#include "mounting.h"
#include "operations.h"
#include "procfs.h"
#include "resolve.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PID_NAME 32

static void pid_name(pid_t pid, const char *file, char name[PID_NAME]) {
    size_t length = procfs_decimal(pid, name);
    name[length] = '/';
    strcpy(name + length + 1, file);
}

/* Writes the maps of the process's new namespace and opens it. A descriptor, or -1 (plan_fail). */
static int map_process(struct plan_context *context, pid_t pid, const char *uids, const char *gids) {
    char name[PID_NAME];
    pid_name(pid, "uid_map", name);
    if (procfs_write(context, name, uids) < 0) return plan_fail(context, "write", "uid_map");
    pid_name(pid, "gid_map", name);
    if (procfs_write(context, name, gids) < 0) return plan_fail(context, "write", "gid_map");
    pid_name(pid, "ns/user", name);
    int file = procfs_follow(context, name, O_RDONLY);
    return file < 0 ? plan_fail(context, "openat2", "ns/user") : file;
}

/* A user namespace begins with a process; this one does nothing, and is ended once the namespace is open. */
static int make_user_namespace(struct plan_context *context, const char *uids, const char *gids) {
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_CLEAR_SIGHAND};
    pid_t parent = getpid();
    int pid = call_clone3(&args);
    if (pid < 0) return plan_fail(context, "clone3", "user namespace");
    if (pid == 0) {
        /* What ended before this call sends no signal. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent) _exit(0);
        for (;;)
            pause();
    }
    int file = map_process(context, pid, uids, gids);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        continue;
    return file;
}

int op_keep_id_map(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(id_map, op);
    PLAN_STRING(path, op.path);
    PLAN_STRING(uids, op.uids);
    PLAN_STRING(gids, op.gids);
    if (context->id_map_count >= PLAN_KEPT_ID_MAPS) return plan_malformed(context);
    int file;
    if (path[0] == 0) {
        if ((file = make_user_namespace(context, uids, gids)) < 0) return -1;
    } else if ((file = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
        return plan_fail(context, "open", path);
    }
    context->id_maps[context->id_map_count++] = file;
    return 0;
}

int op_join_id_map(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(join_id_map, op);
    if (op.id_map == 0 || op.id_map > context->id_map_count) return plan_malformed(context);
    int file = context->id_maps[op.id_map - 1];
    return setns(file, CLONE_NEWUSER) < 0 ? plan_fail(context, "setns", "user namespace") : 0;
}

int op_map_directory(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(map_directory, op);
    PLAN_STRING(path, op.path);
    PLAN_FD tree = call_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);
    if (tree < 0) return plan_fail(context, "open_tree", path);
    if (mounting_map_ids(context, tree, op.id_map, false, path) < 0) return -1;
    return call_move_mount(tree, AT_FDCWD, path) < 0 ? plan_fail(context, "move_mount", path) : 0;
}

int mounting_keep(struct plan_context *context, int tree, uint32_t number) {
    if (context->mounts == NULL) context->mounts = calloc(PLAN_KEPT_MOUNTS, sizeof(int));
    if (context->mounts == NULL) return plan_fail(context, "calloc", NULL);
    if (number == 0 || number > PLAN_KEPT_MOUNTS) return plan_malformed(context);
    context->mounts[number - 1] = tree;
    return 0;
}

int mounting_take(struct plan_context *context, uint32_t number) {
    if (context->mounts == NULL || number == 0 || number > PLAN_KEPT_MOUNTS) return plan_malformed(context);
    int tree = context->mounts[number - 1];
    context->mounts[number - 1] = 0;
    return tree <= 0 ? plan_malformed(context) : tree;
}

int op_prepare_bind(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(prepare_bind, op);
    PLAN_STRING(source, op.source);
    int tree = mounting_clone(context, source, op.flags & PLAN_BIND_RECURSIVE);
    if (tree < 0) return -1;
    if (mounting_keep(context, tree, op.number) < 0) return -1;
    bool all = (op.flags & PLAN_BIND_ID_MAP_RECURSIVE) != 0;
    if (mounting_map_ids(context, tree, op.id_map, all, source) < 0) return -1;
    struct mount_change change = {.set = op.set,
                                  .clear = op.clear,
                                  .recursive_set = op.recursive_set,
                                  .recursive_clear = op.recursive_clear,
                                  .propagation = op.propagation};
    return mounting_prepare(context, tree, &change, source);
}

int op_attach(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(attach, op);
    PLAN_STRING(target, op.target);
    PLAN_FD tree = mounting_take(context, op.number);
    if (tree < 0) return -1;
    PLAN_FD place = mounting_bind_place(context, tree, target, op.flags);
    if (place < 0) return -1;
    return call_move_mount(tree, place, "") < 0 ? plan_fail(context, "move_mount", target) : 0;
}
