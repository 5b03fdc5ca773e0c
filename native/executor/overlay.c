/* Overlay mounts. See overlay.h. */
#define _GNU_SOURCE
#include "overlay.h"
#include "mounting.h"
#include <errno.h>
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

int overlay_mount(struct plan_context *context, const struct overlay_request *request, const char *target) {
    if (!request->classic) {
        int tree = overlay_by_parts(context, request);
        if (tree >= 0) {
            const char *place = target[0] == 0 ? "/" : target;
            if (call_move_mount(tree, AT_FDCWD, place) == 0) return tree;
            int error = errno;
            close(tree);
            return plan_fail_with(context, error, "move_mount", place);
        }
        /* Before "lowerdir+" (6.7) it is an unknown option. */
        if (context->failure->error != EINVAL || request->base[0] == 0) return -1;
    }
    return overlay_classic(context, request, target);
}
