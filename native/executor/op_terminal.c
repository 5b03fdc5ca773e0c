/* Operations on the terminal and the standard streams. */
#define _GNU_SOURCE
#include "calls.h"
#include "channel.h"
#include "operations.h"
#include "resolve.h"
#include <errno.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * The multiplexer of the container's own devpts. Opened in the root, then checked: the container may have put
 * something else there before an exec. O_NONBLOCK so that a fifo in its place does not hold us.
 */
static int open_multiplexer(struct plan_context *context) {
    const char *path = "/dev/pts/ptmx";
    int fd = root_open(context, path, O_RDWR | O_NOCTTY | O_NONBLOCK, RESOLVE_NO_SYMLINKS);
    if (fd < 0) return plan_fail(context, "openat2", path);
    struct stat status;
    struct statfs filesystem;
    bool genuine = fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(5, 2) &&
                   fstatfs(fd, &filesystem) == 0 && filesystem.f_type == DEVPTS_SUPER_MAGIC;
    if (genuine && fcntl(fd, F_SETFL, O_RDWR) == 0) return fd;
    close(fd);
    return plan_fail_with(context, ENODEV, "fstatfs", path);
}

/* The slave's own descriptor is bound, so that nobody can swap /dev/pts/N before (CVE-2025-52565). */
static int bind_console(struct plan_context *context, int slave) {
    const char *path = "/dev/console";
    PLAN_FD place = root_make(context, path, false);
    if (place < 0) return plan_fail(context, "openat2", path);
    PLAN_FD tree = call_open_tree(slave, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    if (tree < 0) return plan_fail(context, "open_tree", path);
    return call_move_mount(tree, place, "") < 0 ? plan_fail(context, "move_mount", path) : 0;
}

int op_console(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(console, op);
    PLAN_FD master = open_multiplexer(context);
    if (master < 0) return -1;
    int unlock = 0;
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0) return plan_fail(context, "ioctl", "TIOCSPTLCK");
    PLAN_FD slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) return plan_fail(context, "ioctl", "TIOCGPTPEER");
    struct winsize size = {.ws_row = (unsigned short)op.height, .ws_col = (unsigned short)op.width};
    if (op.width != 0 && ioctl(master, TIOCSWINSZ, &size) < 0)
        return plan_fail(context, "ioctl", "TIOCSWINSZ");
    if (op.dev_console != 0 && bind_console(context, slave) < 0) return -1;
    for (int fd = 0; fd < 3; fd++) {
        if (dup2(slave, fd) < 0) return plan_fail(context, "dup2", "/dev/pts");
    }
    struct channel_message message = {.kind = CHANNEL_CONSOLE};
    return channel_send(context->sync, &message, master) < 0 ? plan_fail(context, "sendmsg", "console") : 0;
}

int op_session(struct plan_context *context, const struct wire_record *record) {
    (void)record;
    if (setsid() < 0) return plan_fail(context, "setsid", NULL);
    if (context->flags & PLAN_LAUNCH_TERMINAL && ioctl(0, TIOCSCTTY, 0) < 0)
        return plan_fail(context, "ioctl", "TIOCSCTTY");
    return 0;
}

int op_own_stdio(struct plan_context *context, const struct wire_record *record) {
    PLAN_FIELDS(own_stdio, op);
    for (int fd = 0; fd < 3; fd++) {
        struct stat status;
        if (fstat(fd, &status) < 0 || status.st_uid == op.uid) continue;
        bool null = S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
        if (null || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode)) continue;
        /* Not in every user namespace, and not on every filesystem; the descriptor works all the same. */
        if (fchown(fd, op.uid, (gid_t)-1) < 0 && errno != EPERM && errno != EINVAL && errno != EROFS)
            return plan_fail(context, "fchown", "standard stream");
    }
    return 0;
}
