/** Operations for the configuration's `mounts`, in their order. */
import { posix } from "node:path";
import { GantryError } from "../base/errors.ts";
import type { CgroupEntries } from "./cgroup.ts";
import { MOUNT_ATTR, MS } from "./plan-constants.ts";
import { parseMountOptions, type MountOptions } from "./plan-mount-options.ts";
import { hasIdMap } from "./plan-host-phase.ts";
import { labelledRootfs, overlayFields, type PlanRootfs } from "./plan-rootfs.ts";
import { PLAN_TABLE, type PlanValues, type PlanWriter } from "./plan.ts";
import type { Mount } from "./runtime-spec.ts";

const { plainTarget, copyUp } = PLAN_TABLE.constants.mount;
const { recursive, onProcfs, idMapRecursive } = PLAN_TABLE.constants.bind;

/** Files of procfs that other runtimes let a mount cover, too: what lxcfs stands in for, and two switches. */
const COVERABLE_PROC_FILES = new Set([
  ...["cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime"],
  ...["sys/crypto/fips_enabled", "sys/kernel/ns_last_pid"],
]);

/** Where the images of a container's volumes are, by the source that a mount of type "image" names. */
export interface MountSources {
  cgroup: CgroupEntries;
  images: ReadonlyMap<string, PlanRootfs>;
  /** As on a kernel without lowerdir+. */
  classic: boolean;
  /** A cgroup filesystem of the container's own cannot be mounted: its directory is bound. */
  bindCgroup: boolean;
  /** SELinux label for new filesystems and image volumes; empty: none. */
  label: string;
}

/** The kernel's limit for a path, with its NUL. */
const PATH_MAX = 4096;

/** A path in the root, in its shortest form. @param what it is, for messages. */
export function rootPath(path: string, what = "path"): string {
  if (Buffer.byteLength(path) >= PATH_MAX)
    throw new GantryError("invalid-argument", `${what} ${JSON.stringify(path.slice(0, 60))}… is too long`);
  if (path.includes("\0"))
    throw new GantryError("invalid-argument", `path ${JSON.stringify(path)} has a NUL`);
  return posix.normalize(`/${path}`).replace(/(?<=.)\/$/, "");
}

/** Of a host path. Where the process gives up its power before its mounts, it is made before that. */
function addBind(
  plan: PlanWriter,
  source: string,
  target: string,
  options: MountOptions,
  all: boolean,
  idMap = 0,
): void {
  if (!source.startsWith("/"))
    throw new GantryError("invalid-argument", `source of the mount on ${target} is not an absolute path`);
  const values = {
    set: options.own.set,
    /*
     * "rw" and its like do not lift what the host's mount forbids; only a time update policy replaces the
     * host's, and a recursive option says explicitly what it wants.
     */
    clear: options.own.clear & MOUNT_ATTR.ATIME,
    recursiveSet: options.recursive.set,
    recursiveClear: options.recursive.clear,
    propagation: options.propagation,
    flags:
      (all ? recursive : 0) |
      (coversProcfs(target) ? onProcfs : 0) |
      (options.idMap === "ridmap" ? idMapRecursive : 0),
    source,
    target,
  };
  if (!plan.hostPhase) return plan.add("bind", { ...values, number: keptSource(plan, values) });
  const number = plan.nextMount();
  plan.hostPhase.plan.add("prepareBind", { ...values, idMap, number });
  plan.add("attach", { number, flags: values.flags & onProcfs, target });
}

/**
 * What is to propagate is cloned before the mount of the host's root directory stops doing so, and that directory itself
 * before the container's root filesystem lies over it. 0: no need.
 */
function keptSource(plan: PlanWriter, bind: Omit<PlanValues<"bind">, "number">): number {
  const { source, target, flags, propagation } = bind;
  const propagates = plan.sources?.shared && !(propagation & (MS.PRIVATE | MS.UNBINDABLE));
  if (!plan.sources || !(propagates || rootPath(source) === "/")) return 0;
  const number = plan.nextMount();
  plan.sources.plan.add("keepSource", { number, flags, source, target });
  return number;
}

/** The number of the id map that a mount asks for, 0 for none. */
function mountIdMap(plan: PlanWriter, mount: Mount, target: string, options: MountOptions): number {
  if (!hasIdMap(mount)) return 0;
  const fail = (why: string): never => {
    throw new GantryError("invalid-argument", `mount on ${target}: ${why}`);
  };
  if (mount.type !== "bind" && !options.bind) fail("only a bind mount can be id-mapped");
  const [uids, gids] = [mount.uidMappings ?? [], mount.gidMappings ?? []];
  if ((uids.length === 0) !== (gids.length === 0)) fail("uidMappings and gidMappings go together");
  const idMap = uids.length > 0 ? plan.hostPhase?.idMap(uids, gids) : plan.hostPhase?.ownIdMap;
  return idMap || fail("an id-mapped mount needs mappings, its own or those of a user namespace");
}

/** Whether a mount there is known to cover no more than one harmless file of procfs. */
function coversProcfs(target: string): boolean {
  return target.startsWith("/proc/") && COVERABLE_PROC_FILES.has(target.slice("/proc/".length));
}

/** Filesystems whose files have no labels of their own, or the wrong ones. */
const LABELLED = new Set(["tmpfs", "devpts"]);

/** The option of a mount of type "image" that names the part of it that is mounted. */
export const SUB_PATH_OPTION = "subpath=";

function addImage(plan: PlanWriter, mount: Mount, target: string, sources: MountSources): void {
  const found = sources.images.get(mount.source ?? "");
  if (!found)
    throw new GantryError("invalid-argument", `mount on ${target}: unknown image ${mount.source ?? ""}`);
  const image = labelledRootfs(found, sources.label);
  const isSubPath = (option: string): boolean => option.startsWith(SUB_PATH_OPTION);
  const options = mount.options ?? [];
  const { own, recursive: all } = parseMountOptions(options.filter((option) => !isSubPath(option)));
  /* The layers belong to the ids of the image, which are the container's. */
  const phase = plan.hostPhase?.ownIdMap ? plan.hostPhase : undefined;
  const number = phase ? plan.nextMount() : 0;
  if (phase && image.type === "overlay") image.lower.forEach((path) => phase.mapDirectory(path));
  (phase?.rootPlan ?? plan).add("imageVolume", {
    idMap: phase?.ownIdMap ?? 0,
    number,
    ...(image.type === "overlay"
      ? overlayFields(image, sources.classic)
      : { lower: [], options: [], flags: 0, classicBase: "", classicData: "" }),
    source: image.type === "bind" ? image.source : "",
    path: options.find(isSubPath)?.slice(SUB_PATH_OPTION.length) ?? "",
    set: own.set | all.set | MOUNT_ATTR.RDONLY,
    clear: own.clear & MOUNT_ATTR.ATIME,
    target,
  });
  if (phase) plan.add("attach", { number, flags: 0, target });
}

function addFilesystem(
  plan: PlanWriter,
  type: string,
  source: string,
  target: string,
  options: MountOptions,
): void {
  /* Programs trust what they find there, and so does the runtime: never through a link in the image. */
  const plain = type === "proc" || type === "sysfs";
  if (options.copyUp && type !== "tmpfs")
    throw new GantryError(
      "invalid-argument",
      `mount on ${target}: tmpcopyup is for a tmpfs, not for ${type}`,
    );
  checkParameters(options.parameters, target);
  plan.add("mount", {
    attributes: options.own.set | options.recursive.set,
    propagation: options.propagation,
    flags: (plain ? plainTarget : 0) | (options.copyUp ? copyUp : 0),
    type,
    source,
    target,
    parameters: options.parameters,
  });
}

/** As fsconfig(2) takes them, with their NUL. */
const PARAMETER_BYTES = 256;

/** @throws GantryError invalid-argument for what the kernel would not even look at. */
function checkParameters(parameters: readonly string[], target: string): void {
  const long = parameters.find((text) => Buffer.byteLength(text) >= PARAMETER_BYTES);
  if (long === undefined) return;
  const name = long.slice(0, 32).replace(/=.*/s, "");
  throw new GantryError(
    "invalid-argument",
    `mount on ${target}: option ${JSON.stringify(name)} is longer than ${PARAMETER_BYTES - 1} bytes`,
  );
}

/** An overlay's layers one by one, where there are more than fit into one option; from Linux 6.7. */
function overlayParameters(parameters: readonly string[]): string[] {
  return parameters.flatMap((text) => {
    if (!text.startsWith("lowerdir=") || Buffer.byteLength(text) < PARAMETER_BYTES) return [text];
    const layers = text.slice("lowerdir=".length).match(/(\\.|[^\\:])+/gs) ?? [];
    return layers.map((layer) => `lowerdir+=${layer.replace(/\\(.)/gs, "$1")}`);
  });
}

/** What is mounted there already gets these attributes; its filesystem gets the parameters, for all who mount it. */
function addRemount(plan: PlanWriter, target: string, options: MountOptions): void {
  const parameters = options.bind ? [] : options.parameters;
  checkParameters(parameters, target);
  plan.add("remount", {
    set: options.own.set,
    clear: options.own.clear,
    recursiveSet: options.recursive.set,
    recursiveClear: options.recursive.clear,
    propagation: options.propagation,
    target,
    parameters,
  });
}

/** The hierarchy's name, as below /sys/fs/cgroup, and the container's directory in it. */
function hierarchies(cgroup: CgroupEntries): { name: string; source: string }[] {
  const directories = cgroup.tasksFiles.filter(isOfCgroup).map((file) => posix.dirname(file));
  if (cgroup.unifiedDirectory !== undefined) directories.push(cgroup.unifiedDirectory);
  return directories.map((source) => {
    const name = source.split("/")[4];
    if (!source.startsWith("/sys/fs/cgroup/") || !name)
      throw new GantryError("invalid-argument", `cgroup directory ${source} is not below /sys/fs/cgroup`);
    return { name, source };
  });
}

/** A process enters other groups by such files, too: resctrl. */
const isOfCgroup = (file: string): boolean => file.startsWith("/sys/fs/cgroup/");

/**
 * v2: the filesystem itself, whose root is the cgroup namespace's; the container's own directory of it where a user
 * namespace may not mount it, and where v1 is beside it. v1: a tmpfs with the container's own directory
 * of each hierarchy bound in it, so that nothing of other containers shows, with or without a cgroup namespace.
 */
function addCgroup(
  plan: PlanWriter,
  type: string,
  target: string,
  options: MountOptions,
  { cgroup, bindCgroup }: MountSources,
): void {
  const onlyUnified = !cgroup.tasksFiles.some(isOfCgroup);
  if (onlyUnified || (type === "cgroup2" && cgroup.unifiedDirectory !== undefined)) {
    if (cgroup.unifiedDirectory !== undefined && (bindCgroup || !onlyUnified))
      return addBind(plan, cgroup.unifiedDirectory, target, options, false);
    addFilesystem(plan, "cgroup2", "cgroup", target, { ...options, parameters: [] });
    return;
  }
  const readonly = options.own.set & MOUNT_ATTR.RDONLY;
  const writable = { ...options, own: { set: options.own.set & ~MOUNT_ATTR.RDONLY, clear: 0n } };
  addFilesystem(plan, "tmpfs", "tmpfs", target, { ...writable, parameters: ["mode=755"] });
  for (const { name, source } of hierarchies(cgroup)) {
    addBind(plan, source, `${target}/${name}`, options, false);
    const parts = name.split(",");
    if (parts.length === 1) continue;
    for (const part of parts) plan.add("symlink", { directory: target, name: part, target: name });
  }
  if (readonly) addRemount(plan, target, parseMountOptions(["ro"]));
}

/** A bind mount of a host's device node, for who may make none. */
export function addDeviceBind(plan: PlanWriter, path: string): void {
  addBind(plan, path, path, parseMountOptions([]), false);
}

/** @throws GantryError invalid-argument or unimplemented, naming the mount's destination. */
export function addMount(plan: PlanWriter, mount: Mount, sources: MountSources): void {
  const target = rootPath(mount.destination, "mount destination");
  if (mount.type === "image") {
    addImage(plan, mount, target, sources);
    return;
  }
  const options = parseMountOptions(mount.options ?? []);
  if (options.remount) return addRemount(plan, target, options);
  const idMap = mountIdMap(plan, mount, target, options);
  if (mount.type === "bind" || options.bind) {
    addBind(plan, mount.source ?? "", target, options, options.bind !== "bind", idMap);
  } else if (mount.type === "cgroup" || mount.type === "cgroup2") {
    addCgroup(plan, mount.type, target, options, sources);
  } else if (mount.type) {
    const { label } = sources;
    const parameters = label === "" || !LABELLED.has(mount.type) ? [] : [`context=${label}`];
    const own = mount.type === "overlay" ? overlayParameters(options.parameters) : options.parameters;
    const labelledOptions = { ...options, parameters: [...own, ...parameters] };
    addFilesystem(plan, mount.type, mount.source ?? mount.type, target, labelledOptions);
  } else {
    throw new GantryError("invalid-argument", `mount on ${target} has no type`);
  }
}
