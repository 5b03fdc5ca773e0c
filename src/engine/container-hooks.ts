/**
 * Hooks of a container's configuration, which CDI devices bring with them. Most are steps of the plan; here is what
 * they need besides: a bundle directory with the configuration, in which the rootfs shows up inside the container's mount
 * namespace. And here are those that run when there is a container no more, or already: poststart and poststop.
 *
 * The bundle is in the pod's directory and goes with the container's exit, after its poststop hooks have run once. What
 * else few containers have has a bundle, too: a seccomp agent is told its path, and a resctrl class goes when it goes.
 */
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errorMessage } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { stringifyExactJson } from "../oci/exact-json.ts";
import { runHook } from "../oci/hook-run.ts";
import { removeIntelRdt } from "../oci/intel-rdt.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import type { Container } from "./container.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { podPaths } from "./pod-paths.ts";

/** As long as a container waits for a poststop hook that names no timeout. */
const POSTSTOP_TIMEOUT_S = 60;

function bundlePath(context: EngineContext, { podSandboxId, id }: Container): string {
  return join(podPaths(context.stateDirectory, podSandboxId).bundles, id);
}

/** The state of the specification without status and pid. */
export function containerState(
  context: EngineContext,
  container: Container,
  spec: Spec,
): Record<string, unknown> & { bundle: string } {
  return {
    ociVersion: spec.ociVersion,
    id: container.id,
    bundle: bundlePath(context, container),
    annotations: spec.annotations ?? {},
  };
}

/** Makes the bundle of a container that needs one, and tells the plan of it. */
export async function hookOptions(
  context: EngineContext,
  container: Container,
  spec: Spec,
): Promise<{ rootfsTarget?: string; hookState?: Record<string, unknown> }> {
  const { seccomp, intelRdt } = spec.linux ?? {};
  if (!spec.hooks && !seccomp?.listenerPath && !intelRdt) return {};
  const bundle = bundlePath(context, container);
  const rootfsTarget = join(bundle, "rootfs");
  await mkdir(rootfsTarget, { recursive: true, mode: 0o700 });
  const config = { ...spec, root: { ...spec.root, path: "rootfs" } };
  await writeFile(join(bundle, "config.json"), stringifyExactJson(config), { mode: 0o600 });
  failpoint("container-start:bundle");
  return { ...(spec.hooks && { rootfsTarget }), hookState: containerState(context, container, spec) };
}

/**
 * @param pid of the container's first process; 0 when it is gone.
 * @throws GantryError failed-precondition for the first hook that fails.
 */
export async function runHostHooks(
  context: EngineContext,
  container: Container,
  spec: Spec,
  kind: "poststart" | "poststop",
  pid: number,
  signal: AbortSignal,
): Promise<void> {
  const status = kind === "poststart" ? "running" : "stopped";
  const state = { ...containerState(context, container, spec), status, pid };
  for (const hook of spec.hooks?.[kind] ?? []) await runHook(kind, hook, state, signal);
}

/** After the exit: the poststop hooks, and the bundle goes. A hook that fails is told and keeps nothing from going on. */
export async function endHooks(context: EngineContext, entry: ContainerEntry): Promise<void> {
  const bundle = bundlePath(context, entry.container);
  if (!existsSync(bundle)) return;
  /* A removal that has waited long enough for the release begins another one. */
  entry.hooksEnding ??= runPoststop(context, entry.container, bundle).finally(() => delete entry.hooksEnding);
  await entry.hooksEnding;
}

async function runPoststop(context: EngineContext, container: Container, bundle: string): Promise<void> {
  const entry = context.containers.find(container.id);
  const spec = entry && context.containers.spec(entry);
  for (const hook of spec?.hooks?.poststop ?? []) {
    const bounded = { ...spec, hooks: { poststop: [{ timeout: POSTSTOP_TIMEOUT_S, ...hook }] } } as Spec;
    try {
      await runHostHooks(context, container, bounded, "poststop", 0, new AbortController().signal);
    } catch (error) {
      context.log.warn({ containerId: container.id, err: errorMessage(error) }, "poststop hook failed");
    }
  }
  try {
    removeIntelRdt(spec?.linux?.intelRdt, container.id);
  } catch (error) {
    context.log.warn({ containerId: container.id, err: errorMessage(error) }, "resctrl class stays behind");
  }
  failpoint("container-exit:hooks");
  await rm(bundle, { recursive: true, force: true });
}
