/**
 * StartContainer: cgroup, plan, shim, and the container's command executes. A start that fails leaves nothing
 * running; the container is then exited with reason "StartError", as the kubelet expects of a broken command.
 */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { CleanupStack } from "../base/cleanup.ts";
import { errorMessage, GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import type { Shim } from "../shim/shim.ts";
import { wallClockNs } from "./clock.ts";
import { watchContainer } from "./container-exit.ts";
import { runHostHooks } from "./container-hooks.ts";
import { initPlan } from "./container-plan.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { deleteExternal, explainingStart, externalPlan } from "./external-container.ts";
import { hookedContainer, startKey, tellStopped } from "./hooked-subject.ts";

/** What a shell gives for a command that cannot be executed, and the peers for a failed start. */
const START_ERROR_EXIT_CODE = 128;
/** How long a control group may take to go after a failed start. */
const CGROUP_TIMEOUT_MS = 10_000;

const never = new AbortController().signal;

export async function startContainer(context: EngineContext, id: string, signal: AbortSignal): Promise<void> {
  const entry = context.containers.get(id);
  const { container } = entry;
  const { hooks } = context;
  if (!hooks) return start(context, entry, signal);
  // A key of its own: who is asked may be waiting for an update, which takes the container's.
  await context.mutex.run(startKey(entry), signal, async () => {
    if (!startable(context, entry)) return;
    try {
      await hooks.startContainer(hookedContainer(context, entry), () => (entry.starting = true), signal);
    } catch (error) {
      if (!signal.aborted) await recordRefusal(context, entry, error);
      throw wrapError(`start container "${container.id}"`, error);
    }
    try {
      await start(context, entry, signal);
    } catch (error) {
      // Not one that has ended: it may be started again, and then they are asked again.
      if (container.state === "created") tellStopped(context, entry);
      throw error;
    } finally {
      delete entry.starting;
    }
  });
}

/** Whether there is something to start. @throws failed-precondition, not-found. */
function startable(context: EngineContext, entry: ContainerEntry): boolean {
  const { container } = entry;
  // It may have been removed while this call waited.
  if (context.containers.get(container.id) !== entry || container.state === "running") return false;
  if (entry.removal)
    throw new GantryError("failed-precondition", `container "${container.id}" is being removed`);
  if (container.state !== "created")
    throw new GantryError(
      "failed-precondition",
      `container "${container.id}" is ${container.state}, not created`,
    );
  const { sandbox } = context.pods.get(container.podSandboxId);
  if (sandbox.state !== "ready")
    throw new GantryError(
      "failed-precondition",
      `container "${container.id}": pod sandbox "${sandbox.id}" is not ready`,
    );
  return true;
}

async function recordRefusal(context: EngineContext, entry: ContainerEntry, error: unknown): Promise<void> {
  await context.mutex.run(`container:${entry.container.id}`, never, () => {
    if (context.containers.find(entry.container.id)) recordStartError(context, entry, error);
    return Promise.resolve();
  });
}

async function start(context: EngineContext, entry: ContainerEntry, signal: AbortSignal): Promise<void> {
  const { container } = entry;
  await context.mutex.run(`container:${container.id}`, signal, async () => {
    if (!startable(context, entry)) return;
    try {
      const shim = await launch(context, entry, signal);
      failpoint("container-start:shim");
      container.state = "running";
      container.startedAtNs = shim.launchedAtNs;
      container.pid = shim.initPid;
      context.containers.save(entry);
      failpoint("container-start:record");
      context.events.container("started", entry);
      // Before its exit can be told, of which the shim may have told already.
      void context.hooks?.postStartContainer(hookedContainer(context, entry));
      watchContainer(context, entry, shim);
    } catch (error) {
      failpoint("container-start:failure");
      // A caller that went away may start it again; a container that cannot start has ended.
      if (!signal.aborted) recordStartError(context, entry, error);
      throw wrapError(`start container "${container.id}"`, error);
    }
  });
}

async function launch(context: EngineContext, entry: ContainerEntry, signal: AbortSignal): Promise<Shim> {
  const { container } = entry;
  const spec = context.containers.spec(entry);
  await using undo = new CleanupStack((step, error) =>
    context.log.error(
      { containerId: container.id, step, err: errorMessage(error) },
      "clean-up after a failed start failed",
    ),
  );
  const external = container.externalHandler !== undefined;
  const cgroup = context.cgroups.load(entry.cgroupPath);
  if (container.logPath !== "") await mkdir(dirname(container.logPath), { recursive: true, mode: 0o755 });
  const plan = async (): Promise<Uint8Array> => {
    if (external) {
      // The runtime makes it; one that fails or is killed may leave it.
      undo.push("remove cgroup", () => cgroup.remove(AbortSignal.timeout(CGROUP_TIMEOUT_MS)));
      undo.push("delete in the runtime", () => deleteExternal(context, entry));
    }
    const compiled = external
      ? await externalPlan(context, entry, spec, signal)
      : await planInGroup(context, entry, spec, undo, signal);
    failpoint("container-start:cgroup");
    return compiled;
  };
  const { tty, stdin, stdinOnce } = container.config;
  const starting = context.shims.start(
    {
      id: container.id,
      plan,
      log: container.logPath === "" ? undefined : { path: container.logPath },
      terminal: tty,
      stdin,
      stdinOnce,
      memoryCgroupDirectory: cgroup.memoryDirectory(),
      shimCgroup: context.shimCgroup,
      startNow: true,
    },
    signal,
  );
  const shim = external ? await explainingStart(context, entry, starting) : await starting;
  undo.push("end shim", () => context.shims.discard(container.id));
  await cgroup.entered();
  if (spec.hooks?.poststart && !external)
    await runHostHooks(context, container, spec, "poststart", shim.initPid, signal);
  undo.disarm();
  return shim;
}

/** Makes the control group and, as systemd takes its time for that, meanwhile the plan, which only names the group. */
async function planInGroup(
  context: EngineContext,
  entry: ContainerEntry,
  spec: Spec,
  undo: CleanupStack,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const cgroup = context.cgroups.load(entry.cgroupPath);
  const made = context.cgroups.create(entry.cgroupPath, spec.linux?.resources ?? {});
  undo.push("remove cgroup", async () => {
    const failed = await made.then(
      () => false,
      () => true,
    );
    if (!failed) await cgroup.remove(AbortSignal.timeout(CGROUP_TIMEOUT_MS));
  });
  made.catch(() => undefined);
  const compiled = await initPlan(context, entry, spec, cgroup.entries(), signal);
  await made;
  return compiled;
}

function recordStartError(context: EngineContext, entry: ContainerEntry, error: unknown): void {
  const { container } = entry;
  container.state = "exited";
  container.startedAtNs = 0n;
  container.finishedAtNs = wallClockNs();
  container.exitCode = START_ERROR_EXIT_CODE;
  container.reason = "StartError";
  container.message = errorMessage(error);
  context.containers.save(entry);
  context.events.container("stopped", entry);
  if (entry.starting) tellStopped(context, entry);
}

/** Has the shim write to a newly opened file at the log path, after the old one was moved away. */
export async function reopenContainerLog(context: EngineContext, id: string): Promise<void> {
  await context.containers.runningShim(id).shim.reopenLog();
}
