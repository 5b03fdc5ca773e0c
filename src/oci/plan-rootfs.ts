/** Operations that mount the root filesystem, and make it the root directory. */
import { GantryError } from "../base/errors.ts";
import { MOUNT_ATTR, MS } from "./plan-constants.ts";
import { rootPropagation, setUpPropagation } from "./plan-mount-options.ts";
import { addMappedLayers, hostId } from "./plan-host-phase.ts";
import { PLAN_TABLE, type PlanValues, type PlanWriter } from "./plan.ts";
import type { Linux } from "./runtime-spec.ts";

/** How the root filesystem is mounted; the same shape as the snapshotter's RootfsMount. */
export type PlanRootfs =
  | { type: "overlay"; lower: string[]; upper?: string; work?: string; options: string[] }
  | { type: "bind"; source: string; readonly: boolean };

/** Value of a string parameter of fsconfig(2), with its NUL. */
const FSCONFIG_STRING_BYTES = 256;
/** Options of mount(2), with the NUL. */
const MOUNT_DATA_BYTES = 4096;

/** How the old root is left: what `rootfsPropagation` says, else nothing goes back to the host. */
export interface RootChange {
  /** A mount namespace of its own. */
  ownMounts: boolean;
  propagation: string | undefined;
  noPivot: boolean;
  readonly: boolean;
  /** Of the user namespace that the files are id-mapped for; undefined: they are not. */
  mapping: Pick<Linux, "uidMappings" | "gidMappings"> | undefined;
}

/** The longest directory that all paths are below. */
function commonDirectory(paths: readonly string[]): string {
  const split = paths.map((path) => path.split("/").slice(0, -1));
  const first = split[0] ?? [];
  let depth = 0;
  while (depth < first.length && split.every((parts) => parts[depth] === first[depth])) depth++;
  return first.slice(0, depth).join("/") || "/";
}

const { classic: CLASSIC, detached: DETACHED, slave: SLAVE } = PLAN_TABLE.constants.root;

/** An overlay whose files all have this label; a bound directory keeps those that it has. */
export function labelledRootfs(rootfs: PlanRootfs, label: string): PlanRootfs {
  if (label === "" || rootfs.type !== "overlay") return rootfs;
  return { ...rootfs, options: [...rootfs.options, `${LABEL_OPTION}${label}`] };
}

const LABEL_OPTION = "context=";

/** For mount(2) a label is quoted: the commas in it part no options. */
function classicOption(option: string): string {
  return option.startsWith(LABEL_OPTION) ? `${LABEL_OPTION}"${option.slice(LABEL_OPTION.length)}"` : option;
}

const escapeOption = (path: string): string => path.replace(/[\\,:]/g, "\\$&");

/** The overlay's options for mount(2); an empty base when they do not fit. */
function classicOverlay(rootfs: Extract<PlanRootfs, { type: "overlay" }>): { base: string; data: string } {
  const paths = [...rootfs.lower, ...[rootfs.upper, rootfs.work].filter((path) => path !== undefined)];
  const base = commonDirectory(paths);
  const relative = (path: string): string => escapeOption(path.slice(base === "/" ? 1 : base.length + 1));
  const options = [`lowerdir=${rootfs.lower.map(relative).join(":")}`];
  if (rootfs.upper !== undefined) options.push(`upperdir=${relative(rootfs.upper)}`);
  if (rootfs.work !== undefined) options.push(`workdir=${relative(rootfs.work)}`);
  const data = [...options, ...rootfs.options.map(classicOption)].join(",");
  return Buffer.byteLength(data) < MOUNT_DATA_BYTES ? { base, data } : { base: "", data: "" };
}

/** What operations that mount an overlay have in common. */
export function overlayFields(
  rootfs: Extract<PlanRootfs, { type: "overlay" }>,
  classic: boolean,
): Pick<PlanValues<"rootOverlay">, "lower" | "options" | "flags" | "classicBase" | "classicData"> {
  const { base, data } = classicOverlay(rootfs);
  const long = [...rootfs.lower, rootfs.upper ?? "", rootfs.work ?? ""].some(
    (path) => Buffer.byteLength(path) >= FSCONFIG_STRING_BYTES,
  );
  if (rootfs.lower.length === 0) throw new GantryError("invalid-argument", "overlay without a layer");
  return {
    lower: rootfs.lower,
    options: rootfs.options,
    flags: classic || long ? CLASSIC : 0,
    classicBase: base,
    classicData: data,
  };
}

function addOverlay(
  plan: PlanWriter,
  rootfs: Extract<PlanRootfs, { type: "overlay" }>,
  target: string,
  flags: number,
  mapping: RootChange["mapping"],
): void {
  const { upper = "", work = "" } = rootfs;
  const fields = overlayFields(rootfs, (flags & CLASSIC) !== 0);
  plan.add("rootOverlay", {
    ...fields,
    flags: fields.flags | flags,
    uid: hostId(mapping?.uidMappings, 0) ?? 0,
    gid: hostId(mapping?.gidMappings, 0) ?? 0,
    upper,
    work,
    target,
  });
}

/** Mounts the root filesystem. `classic`: as on a kernel without lowerdir+. */
export function addRootfs(
  plan: PlanWriter,
  rootfs: PlanRootfs,
  target: string,
  change: RootChange,
  classic: boolean,
): void {
  const entry = plan.hostPhase?.entryPlan ?? plan;
  /* Only a user namespace takes away the power to mount it in its place. */
  const phase = plan.hostPhase?.ownIdMap ? plan.hostPhase : undefined;
  if (change.ownMounts) {
    const propagation = setUpPropagation(change.propagation);
    entry.add("propagation", { flags: propagation, target: "/" });
    const shared = (propagation & MS.SHARED) !== 0n;
    plan.sources = { plan: entry.section(), shared };
    /* What is mounted on a shared mount would be mounted on the host too. Volumes of it are to stay shared. */
    if (shared) {
      entry.add("propagation", { flags: MS.PRIVATE, target: "/" });
      if (target !== "") entry.add("privateMount", { path: target });
    }
  }
  const writer = phase?.rootPlan ?? entry;
  const flags = (phase ? DETACHED : 0) | (classic ? CLASSIC : 0);
  if (rootfs.type === "overlay") {
    if (phase && change.mapping) addMappedLayers(phase, rootfs);
    addOverlay(writer, rootfs, target, flags, change.mapping);
  } else
    writer.add("rootBind", {
      flags: flags | (change.propagation && rootPropagation(change.propagation) & MS.SLAVE ? SLAVE : 0),
      idMap: change.mapping ? (phase?.ownIdMap ?? 0) : 0,
      source: rootfs.source,
      target: target || (change.ownMounts ? "" : rootfs.source),
    });
  if (phase) entry.add("rootAttach", { target });
}

/** Makes it the root directory. */
export function addPivot(plan: PlanWriter, rootfs: PlanRootfs, change: RootChange): void {
  const { chroot, detachShared } = PLAN_TABLE.constants.pivot;
  const shared = (rootPropagation(change.propagation) & MS.SHARED) !== 0n;
  const flags = change.noPivot || !change.ownMounts ? chroot : shared ? detachShared : 0;
  plan.add("pivot", { flags });
  const readonly = change.readonly || (rootfs.type === "bind" && rootfs.readonly);
  const propagation = change.ownMounts && change.propagation ? rootPropagation(change.propagation) : 0n;
  if (readonly || propagation !== 0n) {
    plan.add("rootAttributes", { set: readonly ? MOUNT_ATTR.RDONLY : 0n, propagation });
  }
}
