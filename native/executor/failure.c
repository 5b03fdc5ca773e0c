/* Recording what failed: facts only, without the printf family. See context.h. */
#include "context.h"
#include <errno.h>
#include <string.h>

int plan_fail_with(struct plan_context *context, int error, const char *syscall_name, const char *path) {
    struct plan_error *failure = context->failure;
    failure->error = error;
    failure->said[0] = 0;
    memset(failure->syscall, 0, sizeof(failure->syscall));
    strncpy(failure->syscall, syscall_name, sizeof(failure->syscall) - 1);
    memset(failure->path, 0, sizeof(failure->path));
    if (path == NULL) return -1;
    size_t length = strlen(path);
    size_t room = sizeof(failure->path) - 1;
    /* The end of a path tells more than its beginning. */
    const char *kept = length > room ? path + (length - room) : path;
    memcpy(failure->path, kept, length > room ? room : length);
    return -1;
}

int plan_fail(struct plan_context *context, const char *syscall_name, const char *path) {
    return plan_fail_with(context, errno, syscall_name, path);
}

int plan_malformed(struct plan_context *context) {
    return plan_fail_with(context, EBADMSG, "plan", NULL);
}
