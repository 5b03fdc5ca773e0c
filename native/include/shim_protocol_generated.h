/* Generated from src/shim/protocol.ts by `npm run generate`; do not edit. */
/* clang-format off */
#ifndef GANTRY_SHIM_PROTOCOL_GENERATED_H
#define GANTRY_SHIM_PROTOCOL_GENERATED_H

#include <stddef.h>
#include <stdint.h>

#define SHIM_PROTOCOL_VERSION 1u
#define SHIM_FRAME_HEADER_BYTES 12u
#define SHIM_FIELD_HEADER_BYTES 8u

#define SHIM_LIMIT_PLAN_FRAME 4194304u /* payload of LAUNCH and EXEC, which carry a plan */
#define SHIM_LIMIT_FRAME 32768u /* payload of every other frame */

#define SHIM_MESSAGE_HELLO 1u /* both ways, first on every connection: VERSION */
#define SHIM_MESSAGE_LAUNCH 2u /* only on the inherited connection: makes the container; OK with the pids and start times */
#define SHIM_MESSAGE_START 3u /* opens the start gate; OK when the command has been executed */
#define SHIM_MESSAGE_KILL 4u /* SIGNAL to init, or to the exec process with this PID, or to this connection's process */
#define SHIM_MESSAGE_WAIT 5u /* OK with the exit fields, once the container has exited and its output is in the log */
#define SHIM_MESSAGE_REOPEN_LOG 6u /* opens the log path anew; on failure the old file stays in use and none was made */
#define SHIM_MESSAGE_RESIZE 7u /* WIDTH and HEIGHT of init's terminal, of the exec process with this PID, or of this connection */
#define SHIM_MESSAGE_STATUS 8u /* OK with the pids, start times, STATE, and the exit fields if exited */
#define SHIM_MESSAGE_DELETE 9u /* ends the shim once its log is written, and deletes its directory; EBUSY while the container lives; FORCE: at once */
#define SHIM_MESSAGE_EXEC 10u /* turns the connection into a process's stream; OK with its PID, then stream frames */
#define SHIM_MESSAGE_ATTACH 11u /* turns the connection into the container's stream; OK with its OPTIONS, then stream frames */
#define SHIM_MESSAGE_STDIN 32u /* client to shim: bytes for standard input */
#define SHIM_MESSAGE_STDIN_CLOSE 33u /* client to shim: end of standard input */
#define SHIM_MESSAGE_STDOUT 34u /* shim to client: bytes of standard output, or of the terminal */
#define SHIM_MESSAGE_STDERR 35u /* shim to client: bytes of standard error */
#define SHIM_MESSAGE_EXIT 36u /* shim to client, last frame of a stream: EXIT_CODE and EXIT_SIGNAL */
#define SHIM_MESSAGE_OK 64u /* the request of this id has been done */
#define SHIM_MESSAGE_ERROR 65u /* the request of this id has failed: ERRNO, SYSCALL, PATH, OPERATION, SAID */

#define SHIM_FIELD_VERSION 1u /* u32: protocol version */
#define SHIM_FIELD_ID 2u /* text: container id */
#define SHIM_FIELD_DIRECTORY 3u /* text: absolute path of the shim's directory */
#define SHIM_FIELD_PLAN 4u /* bytes: compiled plan, opaque to the shim's own code */
#define SHIM_FIELD_LOG_PATH 5u /* text: absolute path of the CRI log; absent for none */
#define SHIM_FIELD_OPTIONS 6u /* u32: OPTION_ bits */
#define SHIM_FIELD_MEMORY_CGROUP 7u /* text: cgroup directory with the out-of-memory counters; absent for none */
#define SHIM_FIELD_SHIM_PID 8u /* u32: pid of the shim, in the host's PID namespace */
#define SHIM_FIELD_SHIM_START_TIME 9u /* u64: its start time in clock ticks, field 22 of /proc/PID/stat */
#define SHIM_FIELD_PID 10u /* u32: pid of init or of an exec process, in the host's PID namespace */
#define SHIM_FIELD_START_TIME 11u /* u64: its start time in clock ticks */
#define SHIM_FIELD_SIGNAL 12u /* u32: signal number to send */
#define SHIM_FIELD_WIDTH 13u /* u32: columns */
#define SHIM_FIELD_HEIGHT 14u /* u32: rows */
#define SHIM_FIELD_STATE 15u /* u32: STATE_ value */
#define SHIM_FIELD_EXIT_CODE 16u /* u32: 0-255, 128 + signal for a death by signal */
#define SHIM_FIELD_EXIT_SIGNAL 17u /* u32: signal that killed it, 0 for none */
#define SHIM_FIELD_EXITED_AT 18u /* u64: nanoseconds since the epoch */
#define SHIM_FIELD_OOM_KILLED 19u /* u32: 1 when the out-of-memory killer hit a process of the container */
#define SHIM_FIELD_ERRNO 20u /* u32: errno of a failed request */
#define SHIM_FIELD_SYSCALL 21u /* text: what failed */
#define SHIM_FIELD_PATH 22u /* text: what it was about; absent if nothing */
#define SHIM_FIELD_OPERATION 23u /* i32: index of the failing plan operation, -1 before the first; absent if not of a plan */
#define SHIM_FIELD_FORCE 24u /* u32: 1 to kill the container first */
#define SHIM_FIELD_PLAN_BUILD 25u /* u32, in the shim's HELLO: fingerprint of the plans that it understands itself */
#define SHIM_FIELD_PROGRAM 26u /* text, in EXEC: absolute path of a gantry-shim that understands the plan, where the shim does not */
#define SHIM_FIELD_SAID 27u /* text: the end of what a failing hook of a plan has said; absent if nothing */

#define SHIM_OPTION_TERMINAL 1u /* the process has a pty; its master comes from the launcher */
#define SHIM_OPTION_STDIN 2u /* keep a pipe for standard input; else it reads /dev/null */
#define SHIM_OPTION_STDIN_ONCE 4u /* close standard input when the first attached client that sent any has gone */
#define SHIM_OPTION_START_NOW 8u /* open the start gate at once */
#define SHIM_OPTION_KILL_ON_DISCONNECT 16u /* kill the exec process when its connection goes away */

#define SHIM_STATE_CREATED 1u /* init waits at the start gate */
#define SHIM_STATE_RUNNING 2u /* the command has been executed */
#define SHIM_STATE_EXITED 3u /* init has been reaped */

/* file `pid`: who the shim and its container are */
#define SHIM_PID_MAGIC 0x44495047u
struct shim_pid_record {
    uint32_t magic;
    uint32_t version;
    uint32_t shim_pid;
    uint32_t init_pid;
    uint64_t shim_start_time;
    uint64_t init_start_time;
};
_Static_assert(offsetof(struct shim_pid_record, magic) == 0, "pid.magic");
_Static_assert(offsetof(struct shim_pid_record, version) == 4, "pid.version");
_Static_assert(offsetof(struct shim_pid_record, shim_pid) == 8, "pid.shim_pid");
_Static_assert(offsetof(struct shim_pid_record, init_pid) == 12, "pid.init_pid");
_Static_assert(offsetof(struct shim_pid_record, shim_start_time) == 16, "pid.shim_start_time");
_Static_assert(offsetof(struct shim_pid_record, init_start_time) == 24, "pid.init_start_time");
_Static_assert(sizeof(struct shim_pid_record) == 32, "pid");

/* file `exit`: how the container ended */
#define SHIM_EXIT_MAGIC 0x54495847u
struct shim_exit_record {
    uint32_t magic;
    uint32_t version;
    uint32_t exit_code;
    uint32_t signal;
    uint64_t exited_at_ns;
    uint32_t oom_killed;
    uint32_t init_pid;
};
_Static_assert(offsetof(struct shim_exit_record, magic) == 0, "exit.magic");
_Static_assert(offsetof(struct shim_exit_record, version) == 4, "exit.version");
_Static_assert(offsetof(struct shim_exit_record, exit_code) == 8, "exit.exit_code");
_Static_assert(offsetof(struct shim_exit_record, signal) == 12, "exit.signal");
_Static_assert(offsetof(struct shim_exit_record, exited_at_ns) == 16, "exit.exited_at_ns");
_Static_assert(offsetof(struct shim_exit_record, oom_killed) == 24, "exit.oom_killed");
_Static_assert(offsetof(struct shim_exit_record, init_pid) == 28, "exit.init_pid");
_Static_assert(sizeof(struct shim_exit_record) == 32, "exit");

#endif
