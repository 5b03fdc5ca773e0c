/*
 * The shim's state and the functions between its parts. One process, one thread, one container, one struct
 * shim in zeroed memory whose pages exist only once touched; nothing is allocated but the buffers of a
 * connection, which are mapped when it comes and unmapped when it goes.
 *
 *   shim.c        set-up, the event loop, reaping       container.c  launch, exit, delete
 *   connection.c  sockets, buffers, framing             output.c     container output to log and clients
 *   request.c     the requests of a connection          input.c      standard input, with back-pressure
 *   exec.c        exec processes                        record.c     files in the directory
 *   exec_launch.c launching them beside the loop        oom.c        kills for want of memory
 */
#ifndef GANTRY_SHIM_H
#define GANTRY_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../executor/launch.h"
#include "cri_log.h"
#include "frame.h"
#include "loop.h"

#define SHIM_MAX_CONNECTIONS 128
#define CONNECTION_IN_BYTES (SHIM_LIMIT_FRAME + SHIM_FRAME_HEADER_BYTES)
#define CONNECTION_OUT_BYTES 65536
/* A chunk is read for a stream only when so much room is left. */
#define CONNECTION_MIN_ROOM 4096

/* After the main process has exited, how long a stream waits for others that hold its pipe. */
#define EXEC_GRACE_MS 100
/* After init has exited, how long the exit event waits for a log or an attached client that takes nothing. */
#define EXIT_DRAIN_MS 2000
/* An attached client that has not taken what is buffered for it within this time is dropped. */
#ifndef ATTACH_STALL_MS /* shorter in tests */
#define ATTACH_STALL_MS 10000
#endif
#define LOG_RETRY_MS 200
#define RECORD_RETRY_MS 500
/* After an accept that failed for want of descriptors or memory. */
#define ACCEPT_PAUSE_MS 100
#define IDLE_TRIM_MS 1000
#ifndef VANISHED_CHECK_MS
#define VANISHED_CHECK_MS 5000
#endif

enum connection_mode {
    CONNECTION_FREE = 0,
    CONNECTION_CONTROL,
    CONNECTION_EXEC,
    CONNECTION_ATTACH,
    CONNECTION_DETACHED /* an exec that runs on without its client */
};

/* A source of output: a pipe or a terminal's master. */
struct output {
    struct watch watch;
    size_t owed; /* bytes that were in it when its process exited and are still to be read */
};

struct exec {
    pid_t pid;      /* 0 until it has been launched */
    pid_t launcher; /* 0 once it has been reaped */
    struct watch launch;
    uint32_t request;
    int console;   /* received, not adopted yet; -1 */
    int input_end; /* what becomes input once launched; -1 */
    struct output output[2];
    struct watch input;
    bool kill_on_disconnect, terminal, keep_input, exited;
    uint32_t exit_code, signal;
    uint64_t deadline;
};

struct connection {
    struct watch socket;
    uint8_t mode;
    bool greeted;       /* HELLO has come */
    bool closing;       /* close once out is empty */
    bool input_blocked; /* what is in in waits: for the process to read a STDIN frame, or to be launched */
    bool lingers; /* the last frame has been sent: what still comes is thrown away until the client goes */
    bool sent_input, waits, deletes, forces;
    uint32_t wait_request, delete_request, stream_request;
    size_t input_done; /* bytes of that STDIN frame already written */
    uint64_t stalled_since;
    uint8_t *region; /* both buffers */
    size_t large;    /* size of a mapping of its own that in has for a big frame, else 0 */
    struct buffer in, out;
    struct exec exec;
};

struct container {
    uint32_t state; /* SHIM_STATE_*, 0 before the launch */
    uint32_t options;
    struct launch_process process;
    uint64_t start_time;
    struct output output[2];
    struct watch input;
    struct shim_exit_record exit;
    uint64_t exit_deadline;
    bool hung;       /* nobody has the terminal open just now */
    bool settled;    /* exited and output drained, or given up on: waiters have been told */
    bool unrecorded; /* exited, and the exit record could not be written yet */
};

struct oom {
    struct watch own, above; /* counters of the group, and of that above it; v1 has the first only */
    uint64_t before;         /* of own, when counting began */
    uint64_t seen, above_seen;
};

struct shim {
    int epoll, directory;
    struct oom oom;
    bool finished;
    bool chunk_touched; /* more than a page of chunk has been in use */
    uint64_t now, log_retry_at, trim_at, vanished_check_at, record_retry_at, accept_again_at;
    uint64_t start_time;
    struct watch signals, listen;
    struct container container;
    uint16_t connections_end; /* one after the highest slot in use */
    struct connection connections[SHIM_MAX_CONNECTIONS];
    char path[4096];
    uint8_t chunk[CRI_LOG_CHUNK_BYTES] __attribute__((aligned(4096)));
    struct cri_log log;
};

/* shim.c */
int shim_main(int argc, char **argv);
/* Takes the processes that have ended. */
void shim_reap(struct shim *shim);

/* connection.c */
bool connection_accept(struct shim *shim, int fd);
void connection_readable(struct shim *shim, struct connection *connection);
/* Handles the frames that have come, until one is incomplete or blocked. */
void connection_parse(struct shim *shim, struct connection *connection);
/* Sends what the socket takes. The connection may be gone afterwards. */
void connection_flush(struct shim *shim, struct connection *connection);
void connection_send(struct shim *shim, struct connection *connection, const struct reply *reply);
void connection_close(struct shim *shim, struct connection *connection);
void connection_release(struct shim *shim, struct connection *connection);
/* Free payload bytes for one data frame, 0 when there is too little room. */
size_t connection_data_room(const struct connection *connection);
/* Where the payload of the next data frame goes, and its completion with the number of bytes that came. */
uint8_t *connection_data_begin(struct connection *connection);
void connection_data_end(struct connection *connection, uint16_t type, size_t length);
void connection_update(struct shim *shim, struct connection *connection);

/* request.c: false when the frame cannot be finished yet. */
bool request_handle(struct shim *shim, struct connection *connection, const struct frame *frame);
void request_fail(struct shim *shim, struct connection *connection, uint32_t request, int error,
                  const char *syscall, const char *path);
void request_fail_plan(struct shim *shim, struct connection *connection, uint32_t request,
                       const struct plan_error *failure);
/* The exit fields, for WAIT and STATUS. */
void request_reply_exit(struct shim *shim, struct connection *connection, uint32_t request);

/* container.c */
void container_launch(struct shim *shim, struct connection *connection, const struct frame *frame);
void container_start(struct shim *shim, struct connection *connection, uint32_t request);
void container_exited(struct shim *shim, int status);
/* Writes the exit record; should that fail, it is due again at record_retry_at. */
void container_record(struct shim *shim);
/* Tells the waiters once the output has been drained; finishes a pending DELETE. */
void container_settle(struct shim *shim);
void container_kill(struct shim *shim);

/* Ends everything: kills execs, empties the pipes, deletes the directory, tells who asked. */
void container_delete(struct shim *shim);

/* output.c */
void output_readable(struct shim *shim, enum cri_stream stream);
/* Tries a stalled log or a hung-up terminal again. */
void output_retry(struct shim *shim);
/* Reads what the streams hold now, and no more, for the deletion. */
void output_empty(struct shim *shim);
void output_update(struct shim *shim);
/* True when all that init wrote has been read. */
bool output_drained(const struct shim *shim);
/* Unfinished lines of streams that stay open are written as partial ones. */
void output_finish(struct shim *shim);
void output_note_owed(struct output *output, bool terminal);

/* input.c */
struct stdio_ends {
    struct launch_stdio child;
    int in, out, err; /* the shim's ends, non-blocking; -1 where there is none */
};
/* Makes the pipes of a process. 0 or an errno. */
int input_make_stdio(bool terminal, bool keep_input, struct stdio_ends *ends);
void input_close_child_ends(struct stdio_ends *ends);
void input_close_all(struct stdio_ends *ends);
/* What is to be read from a terminal at its process's exit is not known, but never more than this. */
#define TERMINAL_HOLDS_BYTES (128 * 1024)
/* Writes the rest of a STDIN frame; false when the process takes no more now. */
bool input_write(struct shim *shim, struct connection *connection, const struct frame *frame);
void input_writable(struct shim *shim, struct watch *input);
void input_close(struct shim *shim, struct connection *connection);

/* exec_launch.c */
struct exec_launch {
    const uint8_t *plan;
    size_t length;
    const char *program; /* launches instead of us; NULL for none */
    int join;            /* pidfd of init */
    struct launch_stdio stdio;
};
/* Forks a launcher, which reports over *channel (a new socket). Its pid, or -1 with errno. */
pid_t exec_launch_fork(const struct exec_launch *launch, int *channel);
/*
 * What the launcher reports: false when nothing has come yet. A pid above zero is the process, our child, not
 * reaped; else *failure tells why there is none. *console gets the pty's master when it comes.
 */
bool exec_launch_result(int channel, int *console, pid_t *pid, struct plan_error *failure);

/* exec.c */
void exec_start(struct shim *shim, struct connection *connection, const struct frame *frame);
/* The launcher has reported something. */
void exec_launched(struct shim *shim, struct connection *connection);
/* The client has gone: the process is killed, or runs on. */
void exec_abandon(struct shim *shim, struct connection *connection);
/* True while any exec process is being launched. */
bool exec_any_launching(const struct shim *shim);
void exec_readable(struct shim *shim, struct connection *connection, enum cri_stream stream);
void exec_exited(struct shim *shim, struct connection *connection, int status);
/* Sends EXIT, or frees a detached slot, once everything has been delivered. */
void exec_settle(struct shim *shim, struct connection *connection);
int exec_signal(const struct exec *exec, int signal);
void exec_update(struct shim *shim, struct connection *connection);

/* record.c */
uint64_t record_start_time(pid_t pid);
int record_write(struct shim *shim, const char *name, const void *data, size_t length);
int record_write_pid(struct shim *shim);
void record_remove_all(struct shim *shim);
bool record_directory_vanished(const struct shim *shim);
/* The whole of a small file, with a NUL behind it. Its length, or -1 with errno. */
ssize_t record_read(int fd, char *out, size_t size);

/* oom.c */
/* Begins to count. In a group that was made for the container just now, what was counted before is its own.
 */
void oom_open(struct shim *shim, const char *directory, bool new_group);
/* A counter has changed, or has gone. */
void oom_look(struct shim *shim);
/* Whether a process was killed since, by the wait status of the first; ends the counting. */
bool oom_killed(struct shim *shim, int status);

#endif
