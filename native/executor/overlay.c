/* Overlay mounts. See overlay.h. */
#define _GNU_SOURCE
#include "overlay.h"
#include "mounting.h"
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

/* Options by fsconfig(2). A detached mount, or -1 (plan_fail). */
static int overlay_by_parts(struct plan_context *context, const struct overlay_request *request) {
    PLAN_FD fs = call_fsopen("overlay");
    if (fs < 0) return plan_fail(context, "fsopen", "overlay");
    const char *lower = request->lower;
    for (uint32_t i = 0; i < request->lower_count; i++, lower = wire_string_after(lower)) {
        if (call_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", lower) < 0)
            return mounting_fail(context, fs, "fsconfig", lower);
    }
    if (request->upper[0] != 0 && call_fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", request->upper) < 0)
        return mounting_fail(context, fs, "fsconfig", request->upper);
    if (request->work[0] != 0 && call_fsconfig(fs, FSCONFIG_SET_STRING, "workdir", request->work) < 0)
        return mounting_fail(context, fs, "fsconfig", request->work);
    const char *option = request->options;
    for (uint32_t i = 0; i < request->option_count; i++, option = wire_string_after(option)) {
        if (mounting_parameter(fs, option) < 0) return mounting_fail(context, fs, "fsconfig", option);
    }
    if (call_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
        return mounting_fail(context, fs, "fsconfig", "overlay");
    int tree = call_fsmount(fs, 0);
    return tree < 0 ? mounting_fail(context, fs, "fsmount", "overlay") : tree;
}

/* By mount(2), with short paths relative to a base, as all options must fit in one page. */
static int overlay_classic(struct plan_context *context, const struct overlay_request *request,
                           const char *target) {
    if (chdir(request->base) < 0) return plan_fail(context, "chdir", request->base);
    const char *place = target[0] == 0 ? "/" : target;
    if (mount("overlay", place, "overlay", 0, request->data) < 0)
        return plan_fail(context, "mount", request->data);
    /* ".." of the root directory is the topmost mount on it; "/" alone would be what lies below. */
    int top = open(target[0] == 0 ? "/.." : target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return top < 0 ? plan_fail(context, "open", place) : top;
}

/*
 * The layers of an id-mapped overlay know the ids of their map only, and the kernel makes the work directory
 * as who mounts: for the time of the mount this is the root of the map, with all capabilities that it has.
 */
static int act_as(struct plan_context *context, uint32_t uid, uint32_t gid) {
    syscall(SYS_setfsgid, gid);
    syscall(SYS_setfsuid, uid);
    /* Both give no errors, but the id that was. */
    if ((uint32_t)syscall(SYS_setfsuid, -1) != uid || (uint32_t)syscall(SYS_setfsgid, -1) != gid)
        return plan_fail_with(context, EPERM, "setfsuid", NULL);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0) return plan_fail(context, "capget", NULL);
    for (int half = 0; half < 2; half++)
        data[half].effective = data[half].permitted;
    return syscall(SYS_capset, &header, data) < 0 ? plan_fail(context, "capset", NULL) : 0;
}

/* A mount becomes one that is nowhere, for a mount namespace that is still to come. */
static int detach(struct plan_context *context, int mounted) {
    int tree = call_open_tree(mounted, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    if (tree < 0) return plan_fail(context, "open_tree", "overlay");
    /* Left in its place it would stay for ever, in a namespace that may not unmount it. */
    if (fchdir(mounted) == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0) return tree;
    plan_fail(context, "umount2", "overlay");
    close(tree);
    return -1;
}

static int attach(struct plan_context *context, int tree, const char *target) {
    const char *place = target[0] == 0 ? "/" : target;
    if (call_move_mount(tree, AT_FDCWD, place) == 0) return tree;
    plan_fail(context, "move_mount", place);
    close(tree);
    return -1;
}

static int mount_it(struct plan_context *context, const struct overlay_request *request, const char *target) {
    if (!request->classic) {
        int tree = overlay_by_parts(context, request);
        if (tree >= 0) return request->detached ? tree : attach(context, tree, target);
        /* Before "lowerdir+" (6.7) it is an unknown option. */
        if (context->failure->error != EINVAL || request->base[0] == 0) return -1;
    }
    int mounted = overlay_classic(context, request, target);
    if (mounted < 0 || !request->detached) return mounted;
    int tree = detach(context, mounted);
    close(mounted);
    return tree;
}

int overlay_mount(struct plan_context *context, const struct overlay_request *request, const char *target) {
    bool other = request->uid != 0 || request->gid != 0;
    if (other && act_as(context, request->uid, request->gid) < 0) return -1;
    int tree = mount_it(context, request, target);
    if (tree < 0 || !other || act_as(context, 0, 0) == 0) return tree;
    close(tree);
    return -1;
}
