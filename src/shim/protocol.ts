/**
 * The shim protocol's numbers, once: message types, field tags, flags, and the two records a shim leaves on disk.
 * The C header (native/include/shim_protocol_generated.h) is made from these tables. docs/shim-protocol.md tells
 * the story.
 *
 * A shim outlives the daemon that started it, so numbers are never reused and meanings never change: only new
 * types and tags are added. Unknown tags are skipped, unknown types are answered with ERROR (ENOSYS).
 */

/** Spoken by this build. A peer that offers a lower one is spoken to in that one; today there is only 1. */
export const PROTOCOL_VERSION = 1;

/** Bytes before a frame's payload: u32 payload length, u16 type, u16 flags, u32 request id, little endian. */
export const FRAME_HEADER_BYTES = 12;
/** Bytes before a field's value: u16 tag, u16 zero, u32 length. */
export const FIELD_HEADER_BYTES = 8;

/** Limits in bytes, kept by both sides. */
export const LIMIT_TABLE = {
  /** Payload of LAUNCH and EXEC, which carry a plan. */
  PLAN_FRAME: [4 * 1024 * 1024, "payload of LAUNCH and EXEC, which carry a plan"],
  /** Payload of every other frame. */
  FRAME: [32 * 1024, "payload of every other frame"],
} as const satisfies Record<string, readonly [number, string]>;

/** Message types. Requests are below 32, stream frames below 64, replies from 64. */
export const MESSAGE_TABLE = {
  HELLO: [1, "both ways, first on every connection: VERSION"],
  LAUNCH: [2, "only on the inherited connection: makes the container; OK with the pids and start times"],
  START: [3, "opens the start gate; OK when the command has been executed"],
  KILL: [4, "SIGNAL to init, or to the exec process with this PID, or to this connection's process"],
  WAIT: [5, "OK with the exit fields, once the container has exited and its output is in the log"],
  REOPEN_LOG: [6, "opens the log path anew; on failure the old file stays in use and none was made"],
  RESIZE: [
    7,
    "WIDTH and HEIGHT of init's terminal, of the exec process with this PID, or of this connection",
  ],
  STATUS: [8, "OK with the pids, start times, STATE, and the exit fields if exited"],
  DELETE: [
    9,
    "ends the shim once its log is written, and deletes its directory; EBUSY while the container lives; FORCE: at once",
  ],
  EXEC: [10, "turns the connection into a process's stream; OK with its PID, then stream frames"],
  ATTACH: [11, "turns the connection into the container's stream; OK with its OPTIONS, then stream frames"],
  STDIN: [32, "client to shim: bytes for standard input"],
  STDIN_CLOSE: [33, "client to shim: end of standard input"],
  STDOUT: [34, "shim to client: bytes of standard output, or of the terminal"],
  STDERR: [35, "shim to client: bytes of standard error"],
  EXIT: [36, "shim to client, last frame of a stream: EXIT_CODE and EXIT_SIGNAL"],
  OK: [64, "the request of this id has been done"],
  ERROR: [65, "the request of this id has failed: ERRNO, SYSCALL, PATH, OPERATION, SAID"],
} as const satisfies Record<string, readonly [number, string]>;

/** Field tags. Integers are little endian and fixed width; text is UTF-8 without a NUL. */
export const FIELD_TABLE = {
  VERSION: [1, "u32: protocol version"],
  ID: [2, "text: container id"],
  DIRECTORY: [3, "text: absolute path of the shim's directory"],
  PLAN: [4, "bytes: compiled plan, opaque to the shim's own code"],
  LOG_PATH: [5, "text: absolute path of the CRI log; absent for none"],
  OPTIONS: [6, "u32: OPTION_ bits"],
  MEMORY_CGROUP: [7, "text: cgroup directory with the out-of-memory counters; absent for none"],
  SHIM_PID: [8, "u32: pid of the shim, in the host's PID namespace"],
  SHIM_START_TIME: [9, "u64: its start time in clock ticks, field 22 of /proc/PID/stat"],
  PID: [10, "u32: pid of init or of an exec process, in the host's PID namespace"],
  START_TIME: [11, "u64: its start time in clock ticks"],
  SIGNAL: [12, "u32: signal number to send"],
  WIDTH: [13, "u32: columns"],
  HEIGHT: [14, "u32: rows"],
  STATE: [15, "u32: STATE_ value"],
  EXIT_CODE: [16, "u32: 0-255, 128 + signal for a death by signal"],
  EXIT_SIGNAL: [17, "u32: signal that killed it, 0 for none"],
  EXITED_AT: [18, "u64: nanoseconds since the epoch"],
  OOM_KILLED: [19, "u32: 1 when the out-of-memory killer hit a process of the container"],
  ERRNO: [20, "u32: errno of a failed request"],
  SYSCALL: [21, "text: what failed"],
  PATH: [22, "text: what it was about; absent if nothing"],
  OPERATION: [23, "i32: index of the failing plan operation, -1 before the first; absent if not of a plan"],
  FORCE: [24, "u32: 1 to kill the container first"],
  PLAN_BUILD: [25, "u32, in the shim's HELLO: fingerprint of the plans that it understands itself"],
  PROGRAM: [
    26,
    "text, in EXEC: absolute path of a gantry-shim that understands the plan, where the shim does not",
  ],
  SAID: [27, "text: the end of what a failing hook of a plan has said; absent if nothing"],
} as const satisfies Record<string, readonly [number, string]>;

/** Bits of OPTIONS in LAUNCH and EXEC. */
export const OPTION_TABLE = {
  TERMINAL: [1, "the process has a pty; its master comes from the launcher"],
  STDIN: [2, "keep a pipe for standard input; else it reads /dev/null"],
  STDIN_ONCE: [4, "close standard input when the first attached client that sent any has gone"],
  START_NOW: [8, "open the start gate at once"],
  KILL_ON_DISCONNECT: [16, "kill the exec process when its connection goes away"],
} as const satisfies Record<string, readonly [number, string]>;

/** Values of STATE. */
export const STATE_TABLE = {
  CREATED: [1, "init waits at the start gate"],
  RUNNING: [2, "the command has been executed"],
  EXITED: [3, "init has been reaped"],
} as const satisfies Record<string, readonly [number, string]>;

/**
 * The records on disk, fields in order without padding. `pid` is written before the launch (init zero) and again
 * after it; `exit` before anyone is told of the exit. Each is written to a temporary name and renamed.
 */
export const RECORD_TABLE = {
  pid: {
    doc: "file `pid`: who the shim and its container are",
    magic: 0x44495047,
    fields: [
      ["magic", "u32"],
      ["version", "u32"],
      ["shim_pid", "u32"],
      ["init_pid", "u32"],
      ["shim_start_time", "u64"],
      ["init_start_time", "u64"],
    ],
  },
  exit: {
    doc: "file `exit`: how the container ended",
    magic: 0x54495847,
    fields: [
      ["magic", "u32"],
      ["version", "u32"],
      ["exit_code", "u32"],
      ["signal", "u32"],
      ["exited_at_ns", "u64"],
      ["oom_killed", "u32"],
      ["init_pid", "u32"],
    ],
  },
} as const satisfies Record<
  string,
  { doc: string; magic: number; fields: readonly (readonly [string, "u32" | "u64"])[] }
>;

type Numbers<Table extends Record<string, readonly [number, string]>> = {
  readonly [Name in keyof Table]: Table[Name][0];
};

function numbers<Table extends Record<string, readonly [number, string]>>(table: Table): Numbers<Table> {
  return Object.fromEntries(Object.entries(table).map(([name, [value]]) => [name, value])) as Numbers<Table>;
}

export const LIMIT = numbers(LIMIT_TABLE);
export const MESSAGE = numbers(MESSAGE_TABLE);
export const FIELD = numbers(FIELD_TABLE);
export const OPTION = numbers(OPTION_TABLE);
export const STATE = numbers(STATE_TABLE);
