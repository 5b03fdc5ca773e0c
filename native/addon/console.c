/*
 * What Node does not have of streams: pipes, fifos, and a terminal's master that comes over a unix socket
 * (SCM_RIGHTS), and writing to it without waiting.
 */
#define _GNU_SOURCE
#include "addon.h"
#include "descriptor_message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* makeFifo(path, mode) */
static napi_value make_fifo(napi_env env, napi_callback_info info) {
    napi_value args[2];
    uint32_t mode;
    if (!addon_args(env, info, 2, args) || !addon_uint32(env, args[1], &mode)) return NULL;
    __attribute__((cleanup(addon_free_string))) char *path = addon_string(env, args[0]);
    if (path == NULL) return NULL;
    if (mkfifo(path, mode) != 0) return addon_throw_errno(env, errno, "mkfifo", path);
    return NULL;
}

/* makePipe(): [the end to read, the end to write]. */
static napi_value make_pipe(napi_env env, napi_callback_info info) {
    (void)info;
    napi_value result, end;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return addon_throw_errno(env, errno, "pipe2", NULL);
    bool made = napi_create_array_with_length(env, 2, &result) == napi_ok;
    for (uint32_t i = 0; made && i < 2; i++)
        made = napi_create_int32(env, ends[i], &end) == napi_ok &&
               napi_set_element(env, result, i, end) == napi_ok;
    if (made) return result;
    close(ends[0]);
    close(ends[1]);
    return NULL;
}

/* consoleListen(path): a listening stream socket; its descriptor. */
static napi_value console_listen(napi_env env, napi_callback_info info) {
    napi_value args[1], result;
    if (!addon_args(env, info, 1, args)) return NULL;
    __attribute__((cleanup(addon_free_string))) char *path = addon_string(env, args[0]);
    if (path == NULL) return NULL;
    __attribute__((cleanup(addon_close))) int fd = addon_bind_unix(env, path, SOCK_STREAM);
    if (fd < 0) return NULL;
    if (listen(fd, 1) != 0) return addon_throw_errno(env, errno, "listen", path);
    if (napi_create_int32(env, fd, &result) != napi_ok) return NULL;
    fd = -1;
    return result;
}

static bool wait_readable(int fd, int timeout_ms) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    int ready;
    do
        ready = poll(&entry, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    if (ready == 0) errno = ETIMEDOUT;
    return ready > 0;
}

/* consoleReceive(listener, timeoutMs): accepts one connection and takes the one descriptor that it brings. */
static napi_value console_receive(napi_env env, napi_callback_info info) {
    napi_value args[2], result;
    int32_t listener, timeout_ms;
    if (!addon_args(env, info, 2, args) || !addon_int32(env, args[0], &listener) ||
        !addon_int32(env, args[1], &timeout_ms))
        return NULL;
    if (!wait_readable(listener, timeout_ms)) return addon_throw_errno(env, errno, "poll", NULL);
    __attribute__((cleanup(addon_close))) int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return addon_throw_errno(env, errno, "accept4", NULL);
    if (!wait_readable(fd, timeout_ms)) return addon_throw_errno(env, errno, "poll", NULL);

    char name[256];
    union descriptor_control control;
    struct iovec data = {.iov_base = name, .iov_len = sizeof name};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) < 0) return addon_throw_errno(env, errno, "recvmsg", NULL);
    int master = descriptor_take(&message);
    if (master < 0) return addon_throw_errno(env, EBADMSG, "recvmsg", NULL);
    if (napi_create_int32(env, master, &result) != napi_ok) {
        close(master);
        return NULL;
    }
    return result;
}

/* setWindowSize(fd, columns, rows) */
static napi_value set_window_size(napi_env env, napi_callback_info info) {
    napi_value args[3];
    int32_t fd;
    uint32_t columns, rows;
    if (!addon_args(env, info, 3, args) || !addon_int32(env, args[0], &fd) ||
        !addon_uint32(env, args[1], &columns) || !addon_uint32(env, args[2], &rows))
        return NULL;
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    if (ioctl(fd, TIOCSWINSZ, &size) != 0) return addon_throw_errno(env, errno, "ioctl", NULL);
    return NULL;
}

/*
 * writeNow(fd, bytes): how many of them there was room for. The file has O_NONBLOCK for the time of this
 * write only, so that a thread may still wait in a read of it: one that looks just then gets EAGAIN.
 */
static napi_value write_now(napi_env env, napi_callback_info info) {
    napi_value args[2], result;
    int32_t fd;
    uint8_t *data;
    size_t length;
    if (!addon_args(env, info, 2, args) || !addon_int32(env, args[0], &fd) ||
        !addon_bytes(env, args[1], &data, &length))
        return NULL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return addon_throw_errno(env, errno, "fcntl", NULL);
    ssize_t taken = write(fd, data, length);
    int err = taken < 0 ? errno : 0;
    if (fcntl(fd, F_SETFL, flags) != 0) return addon_throw_errno(env, errno, "fcntl", NULL);
    if (err == EAGAIN || err == EINTR) taken = 0;
    if (taken < 0) return addon_throw_errno(env, err, "write", NULL);
    if (napi_create_int64(env, taken, &result) != napi_ok) return NULL;
    return result;
}

void addon_console_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"makePipe", make_pipe},
                                                      {"makeFifo", make_fifo},
                                                      {"consoleListen", console_listen},
                                                      {"consoleReceive", console_receive},
                                                      {"setWindowSize", set_window_size},
                                                      {"writeNow", write_now}};
    addon_export(env, exports, functions, sizeof functions / sizeof *functions);
}
