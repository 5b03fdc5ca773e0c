/**
 * One plugin's adjustment of a new container, applied to its OCI configuration: first who owns each field is settled,
 * then the field changes. A key, name or destination that begins with "-" is taken away.
 *
 * The configuration is changed in place; the caller gives a copy. The values are checked by the engine, as the whole.
 */
import { GantryError } from "../base/errors.ts";
import type { Hook, Spec } from "../engine/lifecycle-hooks.ts";
import { adjustLinux } from "./adjustment-linux.ts";
import { type AdjustmentTarget, processOf } from "./adjustment-target.ts";
import type { AdjustmentIn, HookIn, MountIn } from "./messages.ts";
import { optional } from "./numbers.ts";
import { splitRemovals } from "./removal.ts";

/** @throws failed-precondition for a conflict, invalid-argument and unimplemented for what cannot be. */
export function applyAdjustment(target: AdjustmentTarget, adjustment: AdjustmentIn, plugin: string): void {
  const { spec, owners } = target;
  adjustAnnotations(target, adjustment.annotations, plugin);
  adjustMounts(target, adjustment.mounts, plugin);
  adjustEnv(target, adjustment.env, plugin);
  adjustArgs(target, adjustment.args, plugin);
  if (adjustment.hooks) adjustHooks(target, adjustment.hooks, plugin);
  if (adjustment.linux) adjustLinux(target, adjustment.linux, plugin);
  for (const { type, hard, soft } of adjustment.rlimits) {
    owners.claim("Rlimits", plugin, type);
    const process = processOf(spec);
    const others = (process.rlimits ?? []).filter((limit) => limit.type !== type);
    process.rlimits = [...others, { type, hard: BigInt(hard), soft: BigInt(soft) }];
  }
  for (const { name } of adjustment.CDI_devices) {
    owners.claim("CdiDevices", plugin, name);
    target.cdiDevices.push(name);
  }
}

function adjustAnnotations(
  { spec, owners }: AdjustmentTarget,
  annotations: Record<string, string>,
  plugin: string,
): void {
  const { removed, set } = splitRemovals(Object.entries(annotations), ([key]) => key);
  const next = new Map(Object.entries(spec.annotations ?? {}));
  for (const key of removed) {
    owners.clear("Annotations", plugin, key);
    next.delete(key);
  }
  for (const [key, value] of set) {
    owners.claim("Annotations", plugin, key);
    next.set(key, value);
  }
  spec.annotations = Object.fromEntries(next);
}

/** Propagation of a mount, and what the root then needs at the least. */
const ROOT_PROPAGATION = new Map([
  ["rshared", "rshared"],
  ["shared", "rshared"],
  ["rslave", "rslave"],
  ["slave", "rslave"],
]);

function adjustMounts({ spec, owners }: AdjustmentTarget, mounts: MountIn[], plugin: string): void {
  if (mounts.length === 0) return;
  const { removed, set } = splitRemovals(mounts, ({ destination }) => destination);
  for (const destination of removed) owners.clear("Mounts", plugin, destination);
  const changed = new Set(removed);
  for (const { destination, options } of set) {
    owners.claim("Mounts", plugin, destination);
    changed.add(destination);
    const propagation = options
      .map((option) => ROOT_PROPAGATION.get(option))
      .find((word) => word !== undefined);
    if (propagation) widenRoot(spec, propagation);
  }
  const kept = (spec.mounts ?? []).filter(({ destination }) => !changed.has(destination));
  const depth = ({ destination }: { destination: string }): number =>
    destination.split("/").filter((part) => part !== "").length;
  // Parents first; among equals, the order in which they were given.
  spec.mounts = [
    ...kept,
    ...set.map(({ destination, type, source, options }) => ({
      destination,
      source,
      options,
      ...(type !== "" && { type }),
    })),
  ].sort((a, b) => depth(a) - depth(b));
}

function widenRoot(spec: Spec, propagation: string): void {
  spec.linux ??= {};
  if (spec.linux.rootfsPropagation !== "rshared") spec.linux.rootfsPropagation = propagation;
}

function adjustEnv(
  { spec, owners }: AdjustmentTarget,
  env: { key: string; value: string }[],
  plugin: string,
): void {
  if (env.length === 0) return;
  const { removed, set } = splitRemovals(env, ({ key }) => key);
  for (const key of removed) owners.clear("Env", plugin, key);
  const process = processOf(spec);
  const values = new Map(
    (process.env ?? []).map((entry) => {
      const equals = entry.indexOf("=");
      return [equals < 0 ? entry : entry.slice(0, equals), entry] as const;
    }),
  );
  for (const key of removed) values.delete(key);
  for (const { key, value } of set) {
    if (key === "" || key.includes("="))
      throw new GantryError("invalid-argument", `environment variable ${JSON.stringify(key)} is malformed`);
    owners.claim("Env", plugin, key);
    values.set(key, `${key}=${value}`);
  }
  process.env = [...values.values()];
}

/** An empty first argument takes away those that another plugin set. */
function adjustArgs({ spec, owners }: AdjustmentTarget, args: string[], plugin: string): void {
  if (args.length === 0) return;
  const clears = args[0] === "";
  if (clears) owners.clear("Args", plugin);
  owners.claim("Args", plugin);
  processOf(spec).args = clears ? args.slice(1) : args;
}

function adjustHooks(
  { spec, owners }: AdjustmentTarget,
  hooks: NonNullable<AdjustmentIn["hooks"]>,
  plugin: string,
): void {
  const added = {
    prestart: hooks.prestart,
    createRuntime: hooks.create_runtime,
    createContainer: hooks.create_container,
    startContainer: hooks.start_container,
    poststart: hooks.poststart,
    poststop: hooks.poststop,
  };
  if (Object.values(added).every((list) => list.length === 0)) return;
  owners.join("OciHooks", plugin);
  const next: NonNullable<Spec["hooks"]> = { ...spec.hooks };
  for (const [kind, list] of Object.entries(added) as [keyof typeof next, HookIn[]][])
    if (list.length > 0) next[kind] = [...(next[kind] ?? []), ...list.map(ociHook)];
  spec.hooks = next;
}

function ociHook({ path, args, env, timeout }: HookIn): Hook {
  const seconds = optional(timeout, `timeout of hook ${path}`);
  return { path, args, env, ...(seconds !== undefined && { timeout: seconds }) };
}
