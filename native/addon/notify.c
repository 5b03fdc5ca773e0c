/*
 * Part of the addon: what a service says to its manager and to a second copy of itself, how many files it may
 * open, and its end. Node has neither datagram sockets of the unix family nor flock nor setrlimit, and its
 * exit can wait for ever.
 */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* notifySend(path, message): one datagram, never waiting. A leading '@' names an abstract socket. */
static napi_value notify_send(napi_env env, napi_callback_info info) {
    napi_value args[2];
    if (!addon_args(env, info, 2, args)) return NULL;
    __attribute__((cleanup(addon_free_string))) char *path = addon_string(env, args[0]);
    if (path == NULL) return NULL;
    __attribute__((cleanup(addon_free_string))) char *message = addon_string(env, args[1]);
    if (message == NULL) return NULL;

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof address.sun_path)
        return addon_throw_errno(env, ENAMETOOLONG, "connect", path);
    memcpy(address.sun_path, path, length);
    /* The name of an abstract socket has no terminator; that of a file may have one. */
    if (path[0] == '@') address.sun_path[0] = 0;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);

    __attribute__((cleanup(addon_close))) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return addon_throw_errno(env, errno, "socket", NULL);
    ssize_t sent =
        sendto(fd, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, size);
    if (sent < 0) return addon_throw_errno(env, errno, "sendto", path);
    return NULL;
}

/* tryLock(fd, shared): a flock(2) without waiting; false where another open of the file holds one against it.
 */
static napi_value try_lock(napi_env env, napi_callback_info info) {
    napi_value args[2], result;
    int32_t fd;
    bool shared;
    if (!addon_args(env, info, 2, args) || !addon_int32(env, args[0], &fd)) return NULL;
    if (napi_get_value_bool(env, args[1], &shared) != napi_ok)
        return addon_throw_type(env, "argument is not a boolean");
    bool locked = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0;
    if (!locked && errno != EWOULDBLOCK) return addon_throw_errno(env, errno, "flock", NULL);
    return napi_get_boolean(env, locked, &result) == napi_ok ? result : NULL;
}

/* openFilesLimit(soft): the soft limit, or the hard one where that is less; the hard one stays. */
static napi_value open_files_limit(napi_env env, napi_callback_info info) {
    napi_value args[1];
    uint32_t soft;
    struct rlimit limit;
    if (!addon_args(env, info, 1, args) || !addon_uint32(env, args[0], &soft)) return NULL;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return addon_throw_errno(env, errno, "getrlimit", NULL);
    limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return addon_throw_errno(env, errno, "setrlimit", NULL);
    return NULL;
}

/* The standard streams that blocked when we came. Others have them too: the shell, the process that logs for
 * us. */
static bool blocked[3];

static void remember_streams(void) {
    static bool known;
    if (known) return;
    known = true;
    for (int fd = 0; fd < 3; fd++) {
        int flags = fcntl(fd, F_GETFL);
        blocked[fd] = flags >= 0 && (flags & O_NONBLOCK) == 0;
    }
}

static void restore_streams(void) {
    for (int fd = 0; fd < 3; fd++) {
        int flags = blocked[fd] ? fcntl(fd, F_GETFL) : -1;
        if (flags >= 0 && (flags & O_NONBLOCK) != 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
}

/*
 * endProcess(status): the end at once, whatever other threads are doing. As Node's own end it leaves the
 * standard streams as they were, which its objects for them set not to block.
 */
static napi_value end_process(napi_env env, napi_callback_info info) {
    napi_value args[1];
    int32_t status;
    if (!addon_args(env, info, 1, args) || !addon_int32(env, args[0], &status)) return NULL;
    restore_streams();
    _exit(status);
}

void addon_notify_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {
        {"notifySend", notify_send},
        {"tryLock", try_lock},
        {"openFilesLimit", open_files_limit},
        {"endProcess", end_process},
    };
    remember_streams();
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
