/**
 * Finding everything again after the daemon died, and clearing away what is in no record.
 *
 *   record        found in the system             becomes
 *   pod ready     this boot, namespaces pinned    ready
 *                 otherwise                       notready
 *   created       no shim                         created
 *                 a shim (died between spawn and record)  running or exited, from the shim
 *   running       a shim, or its exit record      running or exited, with the true code and time
 *                 another boot, or nothing        exited, 255, "Unknown"
 *   any           a shim that does not answer     unknown, until it does
 *
 * It runs before the first call is served. What cannot be recovered is told and does not keep the rest from it.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoCode, errorMessage } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { wallClockNs } from "./clock.ts";
import { releaseContainer, watchContainer } from "./container-exit.ts";
import type { ContainerState } from "./container.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { bundlesDirectory, deleteExternal, discardBundle } from "./external-container.ts";
import { snapshotOwner } from "./image-volume.ts";
import { watchPause } from "./pod-pause-watch.ts";
import { podPaths, podsDirectory } from "./pod-paths.ts";
import { podIdMaps } from "./pod-user-namespace.ts";
import type { PodSandboxEntry } from "./pod-sandbox-table.ts";

/** Between attempts to reach a shim that does not answer. */
const RETRY_MS = 5_000;

export async function recover(context: EngineContext): Promise<void> {
  const pods = context.pods.load();
  const containers = context.containers.load();
  await Promise.all(pods.map((entry) => recoverPod(context, entry)));
  failpoint("recovery:pods");
  await Promise.all(containers.map((entry) => recoverContainer(context, entry)));
  failpoint("recovery:containers");
  await collectGarbage(context);
  failpoint("recovery:garbage");
  context.log.info({ pods: pods.length, containers: containers.length }, "recovered");
}

async function recoverPod(context: EngineContext, entry: PodSandboxEntry): Promise<void> {
  const { sandbox } = entry;
  if (sandbox.state !== "ready") return;
  if (await podStands(context, entry)) return;
  sandbox.state = "notready";
  delete sandbox.pausePid;
  context.pods.save(entry);
  context.log.warn({ podSandboxId: sandbox.id }, "pod sandbox did not survive");
}

async function podStands(context: EngineContext, entry: PodSandboxEntry): Promise<boolean> {
  const { sandbox } = entry;
  const { namespaces } = sandbox.config;
  if (entry.bootId !== context.bootId) return false;
  const pins = podPaths(context.stateDirectory, sandbox.id).namespaces;
  if (namespaces.network !== "node" && !context.host.isPinned(join(pins, "net"))) return false;
  if (namespaces.ipc !== "node" && !context.host.isPinned(join(pins, "ipc"))) return false;
  if (podIdMaps(namespaces) && !context.host.isPinned(join(pins, "user"))) return false;
  return (await adoptPause(context, entry)) || namespaces.pid !== "pod";
}

/** Any pod may have one: a container may have asked to share a PID namespace that the pod did not make. */
async function adoptPause(context: EngineContext, entry: PodSandboxEntry): Promise<boolean> {
  const { sandbox } = entry;
  try {
    const pause = await context.shims.connect(sandbox.id);
    if (!pause) return false;
    entry.pause = pause;
    sandbox.pausePid = pause.initPid;
    watchPause(context, entry);
  } catch (error) {
    context.log.error({ podSandboxId: sandbox.id, err: errorMessage(error) }, "its pause process is stuck");
  }
  return true;
}

async function recoverContainer(context: EngineContext, entry: ContainerEntry): Promise<void> {
  const { container } = entry;
  const recorded = container.state;
  try {
    await adoptContainer(context, entry);
  } catch (error) {
    context.log.error({ containerId: container.id, err: errorMessage(error) }, "its shim does not answer");
    if (recorded === "exited") return;
    container.state = "unknown";
    setTimeout(() => void recoverLater(context, entry, recorded), RETRY_MS).unref();
  }
}

/** Asks the shim again, unless the container has been stopped or removed meanwhile. */
async function recoverLater(
  context: EngineContext,
  entry: ContainerEntry,
  recorded: ContainerState,
): Promise<void> {
  const { container } = entry;
  await context.mutex.run(`container:${container.id}`, new AbortController().signal, async () => {
    if (container.state !== "unknown" || !context.containers.find(container.id)) return;
    container.state = recorded;
    await recoverContainer(context, entry);
  });
}

async function adoptContainer(context: EngineContext, entry: ContainerEntry): Promise<void> {
  const { container } = entry;
  const shim = await context.shims.connect(container.id);
  if (container.state === "exited") {
    // The daemon may have died before the exit's clean-up was through.
    if (shim) entry.shim = shim;
    releaseNow(context, entry);
    return;
  }
  if (shim) {
    const started = container.state === "created";
    if (started) container.startedAtNs = shim.launchedAtNs;
    container.state = "running";
    container.pid = shim.initPid;
    context.containers.save(entry);
    if (started) context.events.container("started", entry);
    watchContainer(context, entry, shim);
    return;
  }
  if (container.state === "created") {
    clearUnstarted(context, entry);
    return;
  }
  container.state = "exited";
  container.exitCode = 255;
  container.finishedAtNs = wallClockNs();
  container.reason = "Unknown";
  container.message = "the container and its shim were gone when gantryd came back";
  context.containers.save(entry);
  context.events.container("stopped", entry);
  releaseNow(context, entry);
}

/** The daemon may have died while the container's runtime was making it. Beside the calls; a start waits for it. */
function clearUnstarted(context: EngineContext, entry: ContainerEntry): void {
  const { id } = entry.container;
  const cleared = context.mutex.run(`container:${id}`, new AbortController().signal, () =>
    deleteExternal(context, entry),
  );
  cleared.catch((error: unknown) =>
    context.log.warn({ containerId: id, err: errorMessage(error) }, "clearing an unstarted container failed"),
  );
}

/** Beside the calls; removing the container waits for it. */
function releaseNow(context: EngineContext, entry: ContainerEntry): void {
  entry.released = releaseContainer(context, entry);
  entry.released.catch((error: unknown) =>
    context.log.warn(
      { containerId: entry.container.id, err: errorMessage(error) },
      "releasing an exited container failed",
    ),
  );
}

/** Deletes what no record names: shims, snapshots, directories, addresses, blobs. */
async function collectGarbage(context: EngineContext): Promise<void> {
  const podIds = new Set([...context.pods.all()].map((entry) => entry.sandbox.id));
  const containerIds = new Set([...context.containers.all()].map((entry) => entry.container.id));
  const steps: Promise<void>[] = [];
  const told = (what: string, id: string, work: Promise<void>): Promise<void> =>
    work.then(
      () => context.log.info({ id }, `collected ${what}`),
      (error: unknown) => context.log.warn({ id, err: errorMessage(error) }, `collecting ${what} failed`),
    );
  const attempt = (what: string, id: string, work: Promise<void>): void => {
    steps.push(told(what, id, work));
  };
  for (const id of await context.shims.list())
    if (!podIds.has(id) && !containerIds.has(id)) attempt("shim", id, context.shims.discard(id));
  for (const { name, kind } of context.snapshotter.list())
    if (kind !== "committed" && !containerIds.has(snapshotOwner(name)))
      attempt("snapshot", name, context.snapshotter.remove(name));
  for (const id of await directoriesIn(podsDirectory(context.stateDirectory)))
    if (!podIds.has(id)) attempt("pod directory", id, discardPodDirectory(context, id));
  for (const id of await directoriesIn(bundlesDirectory(context)))
    // Beside the calls: a program that hangs must not keep the daemon from serving.
    if (!containerIds.has(id)) void told("bundle", id, discardBundle(context, id));
  await Promise.all(steps);
  const released = [...context.pods.all()].filter((entry) => entry.networkReleased);
  for (const entry of released) podIds.delete(entry.sandbox.id);
  try {
    await context.network.collect(podIds);
  } catch (error) {
    context.log.error({ err: errorMessage(error) }, "collecting the networks of gone pods failed");
  }
}

async function discardPodDirectory(context: EngineContext, id: string): Promise<void> {
  const paths = podPaths(context.stateDirectory, id);
  await context.host.unmount(paths.shm);
  await context.host.unpinNamespaces(paths.namespaces);
  await rm(paths.directory, { recursive: true, force: true });
}

async function directoriesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).filter((name) => /^[0-9a-f]{64}$/.test(name));
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw error;
  }
}
