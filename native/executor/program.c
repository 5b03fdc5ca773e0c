/* Running from a file that nobody can write to. See program.h. */
#define _GNU_SOURCE
#include "program.h"
#include "calls.h"
#include "context.h"
#include "procfs.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>

#define PROGRAM "self/exe"
#define GUARD "GANTRY_PROTECTED"
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* A read-only mount of the program's file, attached nowhere. */
static int readonly_clone(int program) {
    int fd = call_open_tree(program, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    const struct call_mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    if (fd < 0 || call_mount_setattr(fd, 0, &attr) == 0) return fd;
    close(fd);
    return -1;
}

/* For kernels before 5.12. */
static int sealed_copy(void) {
    int from = procfs_host_follow(PROGRAM, O_RDONLY);
    int to = memfd_create("gantry-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ssize_t moved = from < 0 || to < 0 ? -1 : 1;
    while (moved > 0)
        moved = sendfile(to, from, NULL, 1 << 20);
    if (from >= 0) close(from);
    if (moved == 0 && fcntl(to, F_ADD_SEALS, SEALS) == 0) return to;
    if (to >= 0) close(to);
    return -1;
}

void program_protect(char **argv) {
    struct statvfs status;
    if (getenv(GUARD) != NULL) {
        unsetenv(GUARD);
        prctl(PR_SET_NAME, "gantry-shim", 0, 0, 0);
        return;
    }
    PLAN_FD program = procfs_host_follow(PROGRAM, O_PATH);
    if (program < 0 || (fstatvfs(program, &status) == 0 && status.f_flag & ST_RDONLY)) return;
    int fd = readonly_clone(program);
    if (fd < 0) fd = sealed_copy();
    if (fd < 0 || setenv(GUARD, "1", 1) < 0) return;
    syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
    unsetenv(GUARD);
    close(fd);
}
