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
 *
 * It runs before the first call is served.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoCode, errorMessage } from "../base/errors.ts";
import { wallClockNs } from "./clock.ts";
import { releaseContainer, watchContainer } from "./container-exit.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { watchPause } from "./pod-pause-watch.ts";
import { podPaths, podsDirectory } from "./pod-paths.ts";
import type { PodSandboxEntry } from "./pod-sandbox-table.ts";

export async function recover(context: EngineContext): Promise<void> {
  const pods = context.pods.load();
  const containers = context.containers.load();
  await Promise.all(pods.map((entry) => recoverPod(context, entry)));
  await Promise.all(containers.map((entry) => recoverContainer(context, entry)));
  await collectGarbage(context);
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
  if (namespaces.pid !== "pod") return true;
  const pause = await context.shims.connect(sandbox.id);
  if (!pause) return false;
  entry.pause = pause;
  sandbox.pausePid = pause.initPid;
  watchPause(context, entry);
  return true;
}

async function recoverContainer(context: EngineContext, entry: ContainerEntry): Promise<void> {
  const { container } = entry;
  if (container.state === "exited") {
    // The daemon may have died before the exit's clean-up was through.
    const shim = await context.shims.connect(container.id);
    if (!shim) return;
    entry.shim = shim;
    entry.released = releaseContainer(context, entry);
    entry.released.catch((error: unknown) =>
      context.log.warn(
        { containerId: container.id, err: errorMessage(error) },
        "releasing an exited container failed",
      ),
    );
    return;
  }
  const shim = await context.shims.connect(container.id);
  if (shim) {
    if (container.state === "created") container.startedAtNs = wallClockNs();
    container.state = "running";
    container.pid = shim.initPid;
    context.containers.save(entry);
    watchContainer(context, entry, shim);
    return;
  }
  if (container.state === "created") return;
  container.state = "exited";
  container.exitCode = 255;
  container.finishedAtNs = wallClockNs();
  container.reason = "Unknown";
  container.message = "the container and its shim were gone when gantryd came back";
  context.containers.save(entry);
}

/** Deletes what no record names: shims, snapshots, directories, addresses, blobs. */
async function collectGarbage(context: EngineContext): Promise<void> {
  const podIds = new Set([...context.pods.all()].map((entry) => entry.sandbox.id));
  const containerIds = new Set([...context.containers.all()].map((entry) => entry.container.id));
  const steps: Promise<void>[] = [];
  const attempt = (what: string, id: string, work: Promise<void>): void => {
    steps.push(
      work.then(
        () => context.log.info({ id }, `collected ${what}`),
        (error: unknown) => context.log.warn({ id, err: errorMessage(error) }, `collecting ${what} failed`),
      ),
    );
  };
  for (const id of await context.shims.list())
    if (!podIds.has(id) && !containerIds.has(id)) attempt("shim", id, context.shims.discard(id));
  for (const { name, kind } of context.snapshotter.list())
    if (kind !== "committed" && !containerIds.has(name))
      attempt("snapshot", name, context.snapshotter.remove(name));
  for (const id of await directoriesIn(podsDirectory(context.stateDirectory)))
    if (!podIds.has(id)) attempt("pod directory", id, discardPodDirectory(context, id));
  await Promise.all(steps);
  const released = [...context.pods.all()].filter((entry) => entry.networkReleased);
  for (const entry of released) podIds.delete(entry.sandbox.id);
  await context.network.collect(podIds);
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
