/**
 * Descriptors that a service manager has opened for this command (sd_listen_fds(3)): they go on to the container's
 * process, before those of --preserve-fds, and its environment says so.
 */
import type { Process } from "../runtime-spec.ts";

/** How many there are: $LISTEN_FDS, where $LISTEN_PID says that this process is meant. */
export function listenDescriptors(env: NodeJS.ProcessEnv = process.env, pid = process.pid): number {
  const count = env["LISTEN_FDS"] ?? "";
  return env["LISTEN_PID"] === String(pid) && /^[1-9]\d{0,3}$/.test(count) ? Number(count) : 0;
}

/** The process is told of them, as pid 1. */
export function withListenDescriptors(process: Process, count: number): Process {
  if (count === 0) return process;
  const others = (process.env ?? []).filter((entry) => !/^LISTEN_(FDS|PID)=/.test(entry));
  return { ...process, env: [...others, `LISTEN_FDS=${count}`, "LISTEN_PID=1"] };
}
