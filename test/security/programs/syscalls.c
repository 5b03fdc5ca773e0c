/* Makes system calls that a default profile forbids or allows; prints each with its errno's name, or 0. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *name, long result) {
    printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "0");
    fflush(stdout);
}

#ifdef __x86_64__
/* As a 32-bit process would; the arguments lie below 4 GiB. */
static long socketcall(int call, unsigned int *arguments) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(102), "b"(call), "c"(arguments) : "memory", "r8", "r9", "r10", "r11");
    result = (int)result;
    if (result < 0) errno = (int)-result;
    return result < 0 ? -1 : result;
}
static unsigned int alg32[] = {38, SOCK_SEQPACKET, 0};
#endif

#define CALL(name, ...) tell(#name, syscall(SYS_##name, ##__VA_ARGS__))

int main(void) {
    tell("unshare(NEWUSER)", unshare(CLONE_NEWUSER));
    tell("unshare(NEWNS)", unshare(CLONE_NEWNS));
    long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    tell("clone(NEWUSER)", child);
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    tell("clone3", syscall(SYS_clone3, &args, sizeof(args)));
    CALL(mount, "none", "/tmp", "cgroup", 0, "memory");
    CALL(umount2, "/tmp", 0);
    CALL(pivot_root, ".", ".");
    CALL(setns, 0, 0);
    CALL(keyctl, 0, -3, 0);
    CALL(add_key, "user", "x", "y", 1, -3);
    CALL(request_key, "user", "x", 0, 0);
    CALL(bpf, 0, 0, 0);
    CALL(perf_event_open, 0, 0, -1, -1, 0);
    CALL(userfaultfd, 0);
    CALL(io_uring_setup, 1, 0);
    CALL(io_uring_enter, -1, 0, 0, 0, 0);
    CALL(io_uring_register, -1, 0, 0, 0);
    CALL(open_by_handle_at, -1, 0, 0);
    CALL(kexec_load, 0, 0, 0, 0);
    CALL(init_module, 0, 0, "");
    CALL(delete_module, "x", 0);
    CALL(open_tree, -1, "", 0);
    CALL(move_mount, -1, "", -1, "", 0);
    CALL(fsopen, "tmpfs", 0);
    CALL(mount_setattr, -1, "", 0, 0, 0);
    CALL(acct, 0);
    CALL(swapon, "/x", 0);
    CALL(settimeofday, 0, 0);
    CALL(reboot, 0, 0, 0, 0);
    tell("socket(AF_ALG)", socket(38, SOCK_SEQPACKET, 0));
    tell("socket(AF_ALG|high bits)", syscall(SYS_socket, 38L | (1L << 32), SOCK_SEQPACKET, 0));
    tell("socket(AF_VSOCK)", socket(40, SOCK_STREAM, 0));
#ifdef __x86_64__
    tell("socketcall(AF_ALG)", socketcall(1, alg32));
    tell("socketpaircall(AF_ALG)", socketcall(8, alg32));
#endif
    tell("socket(AF_INET)", socket(AF_INET, SOCK_STREAM, 0));
    tell("socket(AF_UNIX)", socket(AF_UNIX, SOCK_STREAM, 0));
    CALL(personality, 0xffffffff);
    CALL(getpid);
    CALL(statx, -100, "/", 0, 0, 0);
    return 0;
}
