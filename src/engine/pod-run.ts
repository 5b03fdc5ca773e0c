/**
 * RunPodSandbox: from a configuration to a ready sandbox.
 *
 * directory and files → namespaces pinned → /dev/shm → network → pause process (shared PID namespace only) → record.
 * Whatever fails takes the earlier steps back. A repeated request joins the one that runs, or gets the id of the
 * ready sandbox that it made.
 */
import { mkdir, rm } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { allEnded, CleanupStack } from "../base/cleanup.ts";
import { errorMessage, GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { newIdentifier } from "../base/identifier.ts";
import { wallClockNs } from "./clock.ts";
import type { EngineContext } from "./engine-context.ts";
import { admitPod } from "./hooked-steps.ts";
import { writePodFiles } from "./pod-files.ts";
import { startPause } from "./pod-pause.ts";
import { watchPause } from "./pod-pause-watch.ts";
import { podNetworkRequest } from "./pod-network-request.ts";
import { podPaths } from "./pod-paths.ts";
import type { PodSandbox, PodSandboxConfig } from "./pod-sandbox.ts";
import { podSandboxName, type PodSandboxEntry } from "./pod-sandbox-table.ts";
import { podIdMaps, podRoot } from "./pod-user-namespace.ts";
import { newSelinuxLevel } from "./selinux-choice.ts";
import { checkPodSandboxConfig, podSysctls } from "./pod-check.ts";

export async function runPodSandbox(
  context: EngineContext,
  config: PodSandboxConfig,
  runtimeHandler: string,
  signal: AbortSignal,
): Promise<string> {
  checkPodSandboxConfig(context, config, runtimeHandler);
  const name = podSandboxName(config.metadata);
  const known = context.pods.byName(name);
  if (known) return sameReadySandbox(known, config, runtimeHandler);
  // The request is part of the key: another configuration under the same name does not join.
  const request = `${name}\n${runtimeHandler}\n${JSON.stringify(config)}`;
  return context.podRuns.do(request, signal, (shared) =>
    context.mutex.run(`pod-name:${name}`, shared, () => {
      const meanwhile = context.pods.byName(name);
      if (meanwhile) return Promise.resolve(sameReadySandbox(meanwhile, config, runtimeHandler));
      return build(context, config, runtimeHandler, shared);
    }),
  );
}

/** The id of a sandbox that an equal request made. @throws already-exists for any other of that name. */
function sameReadySandbox(entry: PodSandboxEntry, config: PodSandboxConfig, runtimeHandler: string): string {
  const { sandbox } = entry;
  const name = podSandboxName(config.metadata);
  if (sandbox.state !== "ready")
    throw new GantryError(
      "already-exists",
      `pod sandbox ${name} exists and is not ready: remove ${sandbox.id} first, or count the attempt up`,
    );
  if (sandbox.runtimeHandler !== runtimeHandler || !isDeepStrictEqual(sandbox.config, config))
    throw new GantryError(
      "already-exists",
      `pod sandbox ${name} exists with another configuration as ${sandbox.id}`,
    );
  return sandbox.id;
}

async function build(
  context: EngineContext,
  config: PodSandboxConfig,
  runtimeHandler: string,
  signal: AbortSignal,
): Promise<string> {
  const id = newIdentifier();
  const paths = podPaths(context.stateDirectory, id);
  const log = context.log.child({ podSandboxId: id });
  await using undo = new CleanupStack((step, error) =>
    log.error({ step, err: errorMessage(error) }, "clean-up after a failed pod sandbox failed"),
  );
  try {
    await mkdir(paths.namespaces, { recursive: true, mode: 0o700 });
    undo.push("remove directory", () => rm(paths.directory, { recursive: true, force: true }));
    failpoint("pod-run:directory");
    const selinuxLevel = newSelinuxLevel(context);
    const entry: PodSandboxEntry = {
      sandbox: {
        id,
        config,
        runtimeHandler,
        state: "ready",
        createdAtNs: wallClockNs(),
        ips: [],
        ...(selinuxLevel !== undefined && { selinuxLevel }),
      },
      bootId: context.bootId,
      networkState: undefined,
      networkReleased: false,
    };
    await allEnded([
      writePodFiles(paths, config, podRoot(config.namespaces)),
      makeNamespaces(context, entry.sandbox, undo),
    ]);
    signal.throwIfAborted();
    await setUpNetwork(context, entry, undo, signal);
    failpoint("pod-run:network");
    if (config.namespaces.pid === "pod") {
      const pause = await startPause(context, entry.sandbox, signal);
      failpoint("pod-run:pause");
      undo.push("end pause process", () => context.shims.discard(id));
      entry.pause = pause;
      entry.sandbox.pausePid = pause.initPid;
    }
    await admitPod(context, entry, signal);
    failpoint("pod-run:record");
    if (entry.pause) watchPause(context, entry);
    undo.disarm();
    return id;
  } catch (error) {
    throw wrapError(`pod sandbox ${podSandboxName(config.metadata)}`, error);
  }
}

async function makeNamespaces(
  context: EngineContext,
  sandbox: PodSandbox,
  undo: CleanupStack,
): Promise<void> {
  const { namespaces, hostname } = sandbox.config;
  const sysctls = podSysctls(sandbox.config).early;
  const paths = podPaths(context.stateDirectory, sandbox.id);
  const net = namespaces.network !== "node";
  const ipc = namespaces.ipc !== "node";
  const user = podIdMaps(namespaces);
  if (net || ipc || user) {
    const made = { net, ipc, uts: net, hostname, sysctls, ...(user && { user }) };
    await context.host.pinNamespaces(paths.namespaces, made);
    failpoint("pod-run:namespaces");
    undo.push("unpin namespaces", () => context.host.unpinNamespaces(paths.namespaces));
    if (net) sandbox.netnsPath = `${paths.namespaces}/net`;
  }
  if (ipc) {
    await mkdir(paths.shm, { mode: 0o700 });
    await context.host.mountShm(paths.shm, context.shmSizeBytes, podRoot(namespaces));
    failpoint("pod-run:shm");
    undo.push("unmount shm", () => context.host.unmount(paths.shm));
  }
}

async function setUpNetwork(
  context: EngineContext,
  entry: PodSandboxEntry,
  undo: CleanupStack,
  signal: AbortSignal,
): Promise<void> {
  const request = podNetworkRequest(context, entry.sandbox);
  if (!request) return;
  undo.push("tear down network", async () => {
    try {
      await context.network.teardown(request, entry.networkState, AbortSignal.timeout(30_000));
    } catch (error) {
      // Nobody knows the pod who could ask for it again.
      context.network.abandon?.(request.podSandboxId);
      throw error;
    }
  });
  const result = await context.network.setup(request, signal);
  entry.networkState = result.state;
  entry.sandbox.ips = result.ips;
  const { ofInterfaces } = podSysctls(entry.sandbox.config);
  if (ofInterfaces.length > 0) await context.host.writeNetworkSysctls(request.netnsPath, ofInterfaces);
}
