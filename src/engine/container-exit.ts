/**
 * What follows a container's exit, whether the daemon saw it or found it afterwards.
 *
 *   exit record ─▶ state, code, time, reason in the store ─▶ (exited) ─▶ rest of the cgroup killed, log drained,
 *   shim gone, cgroup removed ─▶ (released)
 */
import { errorMessage } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { ExitRecord, Shim } from "../shim/shim.ts";
import { endHooks } from "./container-hooks.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { deleteExternal } from "./external-container.ts";
import { tellStopped } from "./hooked-subject.ts";
import { wallClockNs } from "./clock.ts";
import { exitReason } from "./exit-reason.ts";

const RELEASE_TIMEOUT_MS = 60_000;
const SHIM_PATIENCE_MS = 2_000;

/** Watches a running container until it has exited and nothing of it is left in the system. */
export function watchContainer(context: EngineContext, entry: ContainerEntry, shim: Shim): void {
  entry.shim = shim;
  const exited = shim.wait().then((record) => recordExit(context, entry, record));
  entry.exited = exited;
  entry.released = exited.then(() => releaseContainer(context, entry));
  const report = (error: unknown): void =>
    context.log.error(
      { containerId: entry.container.id, err: errorMessage(error) },
      "dealing with a container's exit failed",
    );
  exited.catch(report);
  entry.released.catch(report);
}

/** Ends a container whose shim cannot be asked. How it would have ended stays unknown. */
export async function abandonContainer(context: EngineContext, entry: ContainerEntry): Promise<void> {
  await releaseContainer(context, entry);
  if (entry.container.state === "unknown") recordExit(context, entry, LOST);
}

const LOST: ExitRecord = { exitCode: 255, signal: 0, exitedAtNs: 0n, oomKilled: false, shimLost: true };

function recordExit(context: EngineContext, entry: ContainerEntry, record: ExitRecord): void {
  failpoint("container-exit:seen");
  const { container } = entry;
  entry.stop?.done();
  container.state = "exited";
  container.exitCode = record.exitCode;
  const exitedAtNs = record.exitedAtNs > 0n ? record.exitedAtNs : wallClockNs();
  // A program may have ended before the daemon heard that it had started.
  container.finishedAtNs = exitedAtNs > container.startedAtNs ? exitedAtNs : container.startedAtNs;
  container.reason = exitReason(record, entry.stop?.killedAtNs);
  if (record.shimLost) container.message = "the container's shim died; its exit code is unknown";
  delete container.pid;
  context.containers.save(entry);
  failpoint("container-exit:record");
  context.events.container("stopped", entry);
  tellStopped(context, entry);
  context.log.info(
    { containerId: container.id, exitCode: record.exitCode, signal: record.signal, reason: container.reason },
    "container exited",
  );
}

/**
 * Ends what an exited container left: processes of its cgroup, the cgroup itself, its shim. The shim may take long:
 * it waits for its log's disk. Idempotent.
 */
export async function releaseContainer(context: EngineContext, entry: ContainerEntry): Promise<void> {
  const cgroup = context.cgroups.load(entry.cgroupPath);
  await cgroup.kill();
  failpoint("container-exit:kill");
  await deleteExternal(context, entry);
  await cgroup.remove(AbortSignal.timeout(RELEASE_TIMEOUT_MS));
  failpoint("container-exit:cgroup");
  if (entry.shim) await entry.shim.delete();
  else await context.shims.discard(entry.container.id);
  delete entry.shim;
  failpoint("container-exit:shim");
  await endHooks(context, entry);
}

/** As releaseContainer, for a container that is to go: a shim that takes long is not waited for. */
export async function releaseForRemoval(context: EngineContext, entry: ContainerEntry): Promise<void> {
  const release = entry.released ?? releaseContainer(context, entry);
  if (await fulfilsWithin(release, SHIM_PATIENCE_MS)) return;
  await context.shims.discard(entry.container.id);
  delete entry.shim;
  await releaseContainer(context, entry);
}

/** False where it takes longer, or fails; that is told where it happens. */
async function fulfilsWithin(work: Promise<void>, timeoutMs: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, timeoutMs, false);
  try {
    return await Promise.race([work.then(() => true).catch(() => false), late]);
  } finally {
    clearTimeout(timer);
  }
}
