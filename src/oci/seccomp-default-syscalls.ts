/**
 * The system calls that the built-in profile allows, by what they are for. Whatever is in no list gets EPERM; a name
 * that an architecture does not have is ignored there.
 *
 * What is left out acts on the host as a whole (modules, clocks, swap, kexec, accounting, quotas, keys, io_uring,
 * userfaultfd, NUMA moves of other processes), or is an old interface that nothing needs.
 */

/** A list of names, several to a line. */
const names = (text: string): string[] => text.trim().split(/\s+/);

const FILES = names(`
  access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
  fadvise64 fadvise64_64 arm_fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
  fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
  ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat ioctl lchown lchown32 lgetxattr link
  linkat listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod
  mknodat name_to_handle_at newfstatat oldfstat oldlstat oldstat open openat openat2 pipe pipe2 pread64 preadv preadv2
  pwrite64 pwritev pwritev2 read readahead readdir readlink readlinkat readv removexattr removexattrat rename renameat
  renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat
  sync sync_file_range sync_file_range2 arm_sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat
  utime utimensat utimensat_time64 utimes vmsplice write writev statmount listmount file_getattr file_setattr
`);

const WAITING = names(`
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
  inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
  io_pgetevents_time64 io_setup io_submit _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd
  signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 fanotify_mark
`);

const MEMORY = names(`
  brk cachestat get_mempolicy madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
  mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
  process_mrelease remap_file_pages
`);

const PROCESSES = names(`
  alarm capget capset execve execveat exit exit_group fork getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
  getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit
  get_robust_list getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set landlock_add_rule
  landlock_create_ruleset landlock_restrict_self lsm_get_self_attr lsm_list_modules lsm_set_self_attr nice
  pidfd_open pidfd_send_signal prctl arch_prctl prlimit64 rseq sched_getaffinity sched_getattr sched_getparam
  sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
  sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid
  setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32
  setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid set_thread_area get_thread_area
  set_tid_address setuid setuid32 sysinfo times ugetrlimit uname olduname oldolduname vfork wait4 waitid waitpid
  modify_ldt set_tls breakpoint cacheflush usr26 usr32
`);

const SIGNALS = names(`
  kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
  rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack signal sigpending sigprocmask
  sigreturn sigsuspend sgetmask ssetmask tgkill tkill uretprobe
`);

const TIME = names(`
  adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
  clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun
  timer_gettime timer_gettime64 timer_settime timer_settime64
`);

const COMMUNICATION = names(`
  accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
  send sendmmsg sendmsg sendto setsockopt shutdown socketpair
  futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake ipc mq_getsetattr mq_notify mq_open
  mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl
  semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget getcpu getrandom
`);

/** Without conditions, for every container. */
export const ALLOWED_SYSCALLS: readonly string[] = Object.freeze([
  ...FILES,
  ...WAITING,
  ...MEMORY,
  ...PROCESSES,
  ...SIGNALS,
  ...TIME,
  ...COMMUNICATION,
]);

/** Allowed with any of the capabilities besides. */
export const CAPABILITY_SYSCALLS: readonly (readonly [capability: string, names: readonly string[]])[] = [
  ["CAP_DAC_READ_SEARCH", names("open_by_handle_at")],
  [
    "CAP_SYS_ADMIN",
    names(`
      bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
      open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount
      umount2 unshare
    `),
  ],
  ["CAP_SYS_BOOT", names("reboot")],
  ["CAP_SYS_CHROOT", names("chroot")],
  ["CAP_SYS_MODULE", names("delete_module init_module finit_module")],
  ["CAP_SYS_PACCT", names("acct")],
  ["CAP_SYS_PTRACE", names("kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace")],
  ["CAP_SYS_RAWIO", names("iopl ioperm")],
  ["CAP_SYS_TIME", names("settimeofday stime clock_settime clock_settime64")],
  ["CAP_SYS_TTY_CONFIG", names("vhangup")],
  ["CAP_SYS_NICE", names("mbind set_mempolicy set_mempolicy_home_node")],
  ["CAP_SYSLOG", names("syslog")],
  ["CAP_BPF", names("bpf")],
  ["CAP_PERFMON", names("perf_event_open")],
];
