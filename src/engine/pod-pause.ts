/**
 * The process of a shared PID namespace: the shim's built-in pause. It has the pod's namespaces, an empty root that
 * cannot be written, no capability, and runs no program of any image.
 */
import { chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { permittedOomScore } from "../oci/oom-score.ts";
import { compilePlan } from "../oci/plan-compile.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import type { Shim } from "../shim/shim.ts";
import type { EngineContext } from "./engine-context.ts";
import { podPaths } from "./pod-paths.ts";
import type { PodSandbox } from "./pod-sandbox.ts";
import type { PodSandboxEntry } from "./pod-sandbox-table.ts";
import { podIdMaps, podRoot, type PodIdMaps } from "./pod-user-namespace.ts";
import { watchPause } from "./pod-pause-watch.ts";

/** With it the whole pod would end; it holds next to no memory. */
const PAUSE_OOM_SCORE_ADJ = -998;
const PAUSE_ID = 65535;

export async function startPause(
  context: EngineContext,
  sandbox: PodSandbox,
  signal: AbortSignal,
): Promise<Shim> {
  const paths = podPaths(context.stateDirectory, sandbox.id);
  const root = join(paths.directory, "root");
  await mkdir(root, { recursive: true, mode: 0o555 });
  const owner = podRoot(sandbox.config.namespaces);
  if (owner) await chown(root, owner.uid, owner.gid);
  const plan = compilePlan(pauseSpec(context, sandbox), {
    rootfs: { type: "bind", source: root, readonly: true },
    cgroup: { tasksFiles: [] },
    gate: "none",
    command: "pause",
    hostPhase: podIdMaps(sandbox.config.namespaces) !== undefined,
  });
  return context.shims.start(
    {
      id: sandbox.id,
      plan,
      log: undefined,
      terminal: false,
      stdin: false,
      stdinOnce: false,
      memoryCgroupDirectory: undefined,
      shimCgroup: context.shimCgroup,
      startNow: true,
    },
    signal,
  );
}

/** The pod's pause process, started now where a container asks to share a PID namespace that the pod did not make. */
export async function ensurePause(
  context: EngineContext,
  entry: PodSandboxEntry,
  signal: AbortSignal,
): Promise<Shim> {
  if (entry.pause) return entry.pause;
  return context.mutex.run(`pause:${entry.sandbox.id}`, signal, async () => {
    if (entry.pause) return entry.pause;
    const pause = await startPause(context, entry.sandbox, signal);
    entry.pause = pause;
    entry.sandbox.pausePid = pause.initPid;
    context.pods.save(entry);
    watchPause(context, entry);
    return pause;
  });
}

/** Nobody: the last id that the pod has. */
function pauseUser(maps: PodIdMaps | undefined): { uid: number; gid: number } {
  const last = (mappings: PodIdMaps["uids"] = []): number =>
    Math.min(PAUSE_ID, ...mappings.map(({ containerID, size }) => containerID + size - 1));
  return { uid: last(maps?.uids), gid: last(maps?.gids) };
}

function pauseSpec(context: EngineContext, sandbox: PodSandbox): Spec {
  const pins = podPaths(context.stateDirectory, sandbox.id).namespaces;
  const { namespaces } = sandbox.config;
  const maps = podIdMaps(namespaces);
  return {
    ociVersion: "1.3.0",
    root: { path: "rootfs", readonly: true },
    process: {
      cwd: "/",
      args: ["pause"],
      user: pauseUser(maps),
      noNewPrivileges: true,
      capabilities: {},
      oomScoreAdj: permittedOomScore(PAUSE_OOM_SCORE_ADJ),
    },
    linux: {
      namespaces: [
        { type: "mount" },
        { type: "pid" },
        ...(namespaces.network !== "node" ? [{ type: "network" as const, path: join(pins, "net") }] : []),
        ...(namespaces.ipc !== "node" ? [{ type: "ipc" as const, path: join(pins, "ipc") }] : []),
        ...(maps ? [{ type: "user" as const, path: join(pins, "user") }] : []),
      ],
      ...(maps && { uidMappings: maps.uids, gidMappings: maps.gids }),
    },
  };
}
