/**
 * ExecSync: runs a command in a container and gives its output, for probes.
 *
 * Each stream is kept up to 16 MiB and read to its end; what is over is discarded (CVE-2022-1708). When the timeout
 * passes or the caller goes, the process is killed.
 */
import { constants } from "node:os";
import { abortable } from "../base/abort.ts";
import { GantryError, wrapError } from "../base/errors.ts";
import type { ShimExec } from "../shim/shim.ts";
import { execInContainer } from "./container-exec.ts";
import type { EngineContext } from "./engine-context.ts";
import type { ExecSyncResult } from "./engine.ts";

export const EXEC_SYNC_LIMIT_BYTES = 16 * 1024 * 1024;
/** So many pieces of output are put together, as a piece of one byte costs some hundred. */
const PIECES = 1024;
const KILLED_WITHIN_MS = 2_000;

export async function execSync(
  context: EngineContext,
  id: string,
  command: string[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ExecSyncResult> {
  if (command.length === 0) throw new GantryError("invalid-argument", "exec: the command is empty");
  const { entry, shim } = context.containers.runningShim(id);
  const { container } = entry;
  const timeout = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
  const either = timeout ? AbortSignal.any([signal, timeout]) : signal;
  let exec: ShimExec | undefined;
  try {
    const asked = { args: command, terminal: false, stdin: false };
    exec = await execInContainer(context, entry, shim, asked, either);
    const running = exec;
    const [stdout, stderr, exit] = await abortable(
      Promise.all([
        collect(running.stdout),
        running.stderr ? collect(running.stderr) : Buffer.alloc(0),
        running.wait(),
      ]),
      either,
    );
    return { stdout, stderr, exitCode: exit.exitCode };
  } catch (error) {
    if (timeout?.aborted && !signal.aborted) {
      // Who is told of the timeout must not find the command still there.
      if (exec) await kill(exec);
      throw new GantryError(
        "deadline-exceeded",
        `exec in container "${container.id}": not finished after ${timeoutMs / 1000} s`,
        { cause: error },
      );
    }
    throw wrapError(`exec in container "${container.id}"`, error);
  } finally {
    // Kills it if it still runs, also where the shim is stuck and answers nothing.
    exec?.close();
  }
}

/** Kills the command with its process group, and waits until it has been reaped; not for a shim that is stuck. */
async function kill(exec: ShimExec): Promise<void> {
  const reaped = exec.kill(constants.signals.SIGKILL).then(() => exec.wait());
  await abortable(reaped, AbortSignal.timeout(KILLED_WITHIN_MS)).catch(() => undefined);
}

/** Everything of the stream up to the limit; the rest is read and dropped. */
export async function collect(
  stream: NodeJS.ReadableStream,
  limitBytes = EXEC_SYNC_LIMIT_BYTES,
): Promise<Buffer> {
  const blocks: Buffer[] = [];
  let pieces: Buffer[] = [];
  let room = limitBytes;
  for await (const chunk of stream) {
    if (room === 0) continue;
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
    const kept = bytes.length > room ? bytes.subarray(0, room) : bytes;
    room -= kept.length;
    if (pieces.push(kept) < PIECES) continue;
    blocks.push(Buffer.concat(pieces));
    pieces = [];
  }
  const chunks = [...blocks, ...pieces];
  const [only] = chunks;
  return chunks.length === 1 && only ? only : Buffer.concat(chunks);
}
