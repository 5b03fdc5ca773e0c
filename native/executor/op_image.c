/*
 * Image volumes: what an image holds, or one directory or file of it, on a path in the root. The image's
 * overlay is mounted for a moment over the old root directory, which only descriptors see, the asked part of
 * it is cloned, and the overlay is taken away again: kernels before 6.15 clone no part of a detached mount.
 */
#define _GNU_SOURCE
#include "mounting.h"
#include "operations.h"
#include "overlay.h"
#include "resolve.h"

/* The path in the image as a detached mount of its own. Links stay in the image. */
static int clone_part(struct plan_context *context, int image, const char *path) {
    const uint64_t within = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    PLAN_FD part = open_in_root(image, path[0] == 0 ? "/" : path, O_PATH, within);
    if (part < 0) return plan_fail(context, "openat2", path);
    int tree = call_open_tree(part, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    return tree < 0 ? plan_fail(context, "open_tree", path) : tree;
}

/* Takes the mount away that the descriptor is the root of. */
static int detach(struct plan_context *context, int image) {
    if (fchdir(image) < 0) return plan_fail(context, "fchdir", "image volume");
    if (umount2(".", MNT_DETACH) < 0) return plan_fail(context, "umount2", "image volume");
    return chdir("/") < 0 ? plan_fail(context, "chdir", "/") : 0;
}

/* Takes the descriptor. */
static int mount_on(struct plan_context *context, int given, const struct mount_change *change,
                    const char *target) {
    PLAN_FD tree = given;
    PLAN_FD place = mounting_bind_place(context, tree, target, 0);
    if (place < 0) return -1;
    return mounting_attach(context, tree, place, change, target);
}

int op_image_volume(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(image_volume, op);
    PLAN_STRINGS(lower, op.lower);
    PLAN_STRINGS(options, op.options);
    PLAN_STRING(base, op.classic_base);
    PLAN_STRING(data, op.classic_data);
    PLAN_STRING(source, op.source);
    PLAN_STRING(path, op.path);
    PLAN_STRING(target, op.target);
    const struct overlay_request request = {
        .lower = lower,
        .lower_count = op.lower.count,
        .options = options,
        .option_count = op.options.count,
        .upper = "",
        .work = "",
        .classic = (op.flags & PLAN_ROOT_CLASSIC) != 0,
        .base = base,
        .data = data,
    };
    bool overlay = source[0] == 0;
    PLAN_FD image =
        overlay ? overlay_mount(context, &request, "") : open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (image < 0) return overlay ? -1 : plan_fail(context, "open", source);
    int tree = clone_part(context, image, path);
    if (tree >= 0 && op.number != 0 && mounting_keep(context, tree, op.number) < 0) return -1;
    if (tree < 0 || (overlay && detach(context, image) < 0)) return -1;
    struct mount_change change = {.set = op.set, .clear = op.clear, .propagation = MS_PRIVATE};
    if (op.number == 0) return mount_on(context, tree, &change, target);
    if (mounting_map_ids(context, tree, overlay ? 0 : op.id_map, false, path) < 0) return -1;
    return mounting_prepare(context, tree, &change, path);
}
