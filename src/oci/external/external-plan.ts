/**
 * Plans whose process runs the commands of an external runtime, which make the container's process; that succeeds it.
 *
 *   create:  own mount namespace ─ root filesystem ─ volumes ─ `create` ─ `start` ─ adopt
 *   exec:    `exec --detach` ─ adopt
 *
 * What is mounted is in a mount namespace that the runtime alone is in: the container's is a copy of it, and it goes with
 * the runtime. So nothing of a container is mounted on the host here either, and nothing can be left there.
 */
import { GantryError } from "../../base/errors.ts";
import { CLONE_NEW, MS } from "../plan-constants.ts";
import { hasIdMap, hostId, mapLines } from "../plan-host-phase.ts";
import { parseMountOptions } from "../plan-mount-options.ts";
import { rootPath, SUB_PATH_OPTION } from "../plan-mounts.ts";
import { labelledRootfs, overlayFields, type PlanRootfs } from "../plan-rootfs.ts";
import { PLAN_TABLE, PlanWriter } from "../plan.ts";
import type { IdMapping, Spec } from "../runtime-spec.ts";
import type { PreparedMount } from "./external-bundle.ts";
import type { ExternalRuntime } from "./external-runtime.ts";

export interface RuntimeCommand {
  /** Without the program's name and what is before the command. */
  args: readonly string[];
  /** Name of the socket for the terminal in the directory; absent: no terminal comes. */
  console?: string;
}

export interface RuntimeCommands {
  commands: readonly RuntimeCommand[];
  /** Their working directory; what `console` is in. */
  directory: string;
  /** Host paths. */
  log: string;
  pidFile: string;
  terminal: boolean;
}

export interface ExternalMounts {
  rootfs: PlanRootfs;
  /** Host directory. */
  target: string;
  /** Directories to have in the root filesystem. */
  directories: readonly string[];
  prepared: readonly PreparedMount[];
  images: ReadonlyMap<string, PlanRootfs>;
  /** SELinux label; empty: none. */
  label: string;
}

const { terminal: TERMINAL } = PLAN_TABLE.constants.launch;
const { recursive: RECURSIVE, idMapRecursive: ID_MAP_RECURSIVE } = PLAN_TABLE.constants.bind;

/** A longest path of a unix socket, with its NUL. */
const SOCKET_PATH_BYTES = 108;

/** How the runtime is told of the socket: by a name in its working directory where the path would be too long. */
export function consolePath(directory: string, name: string): string {
  const path = `${directory}/${name}`;
  return Buffer.byteLength(path) < SOCKET_PATH_BYTES ? path : name;
}

function addCommands(plan: PlanWriter, runtime: ExternalRuntime, run: RuntimeCommands): void {
  for (const { args, console = "" } of run.commands) {
    plan.add("runtimeCommand", {
      timeoutMs: runtime.options.timeoutMs,
      name: `${runtime.program} ${args[0]}`,
      path: runtime.options.binary,
      args: [runtime.options.binary, ...runtime.args(args, run.log)],
      env: runtime.environment,
      directory: run.directory,
      console,
      log: run.log,
    });
  }
  plan.add("adopt", { pidFile: run.pidFile });
}

/** The plan of an exec. */
export function externalExecPlan(runtime: ExternalRuntime, run: RuntimeCommands): Uint8Array {
  const plan = new PlanWriter();
  plan.add("launch", { cloneFlags: 0n, flags: run.terminal ? TERMINAL : 0, cgroupDirectory: "" });
  addCommands(plan, runtime, run);
  return plan.finish();
}

/** The plan of a container's first process. */
export function externalInitPlan(
  runtime: ExternalRuntime,
  spec: Spec,
  mounts: ExternalMounts,
  run: RuntimeCommands,
): Uint8Array {
  const plan = new PlanWriter();
  const cloneFlags = BigInt(CLONE_NEW.mount);
  plan.add("launch", { cloneFlags, flags: run.terminal ? TERMINAL : 0, cgroupDirectory: "" });
  // Volumes that propagate to the host have to stay its peers; what we mount is below one mount that does not.
  if (spec.linux?.rootfsPropagation === "rshared") plan.add("privateMount", { path: run.directory });
  else plan.add("propagation", { flags: MS.SLAVE | MS.REC, target: "/" });
  new MountPlan(plan, spec).add(mounts);
  addCommands(plan, runtime, run);
  return plan.finish();
}

/** What is mounted for the runtime, id-mapped where the container has a user namespace or a volume asks for it. */
class MountPlan {
  readonly #plan: PlanWriter;
  readonly #spec: Spec;
  /** Id maps, by their text, and how many are kept. */
  readonly #idMaps = new Map<string, number>();
  readonly #mapped = new Set<string>();
  readonly #own: number;

  constructor(plan: PlanWriter, spec: Spec) {
    this.#plan = plan;
    this.#spec = spec;
    const { linux } = spec;
    const user = linux?.namespaces?.find(({ type }) => type === "user");
    this.#own = user ? this.#idMap(linux?.uidMappings ?? [], linux?.gidMappings ?? [], user.path) : 0;
  }

  add({ rootfs, target, directories, prepared, images, label }: ExternalMounts): void {
    const plan = this.#plan;
    const binds = prepared
      .filter(({ mount }) => mount.type !== "image" && hasIdMap(mount))
      .map((one) => ({ path: one.path, number: this.#prepareBind(one) }));
    this.#addRootfs(labelledRootfs(rootfs, label), target);
    // In a user namespace only its own root could make them.
    if (this.#own === 0) for (const path of directories) plan.add("makeDirectory", { path: rootPath(path) });
    plan.add("currentRoot", {});
    for (const { path, number } of binds) plan.add("attach", { number, flags: 0, target: path });
    for (const one of prepared) if (one.mount.type === "image") this.#addImage(one, images, label);
  }

  #idMap(uids: readonly IdMapping[], gids: readonly IdMapping[], path?: string): number {
    const [uidLines, gidLines] = [mapLines(uids), mapLines(gids)];
    const key = `${uidLines};${gidLines}`;
    const known = this.#idMaps.get(key);
    if (known !== undefined) return known;
    const number = this.#idMaps.size + 1;
    if (number > PLAN_TABLE.constants.kept.idMaps)
      throw new GantryError("resource-exhausted", `more than ${number - 1} different id mappings`);
    this.#plan.add(
      "idMap",
      path ? { path, uids: "", gids: "" } : { path: "", uids: uidLines, gids: gidLines },
    );
    this.#idMaps.set(key, number);
    return number;
  }

  #mapDirectory(path: string): void {
    if (this.#own === 0 || this.#mapped.has(path)) return;
    this.#mapped.add(path);
    this.#plan.add("mapDirectory", { idMap: this.#own, path });
  }

  #prepareBind({ mount, path }: PreparedMount): number {
    const { uidMappings = [], gidMappings = [], source = "", options = [] } = mount;
    const idMap = uidMappings.length > 0 ? this.#idMap(uidMappings, gidMappings) : this.#own;
    if (idMap === 0)
      throw new GantryError(
        "invalid-argument",
        `mount on ${mount.destination}: an id-mapped mount needs mappings, its own or those of a user namespace`,
      );
    const { bind, idMap: kind } = parseMountOptions(options);
    const number = this.#plan.nextMount();
    const flags = (bind === "bind" ? 0 : RECURSIVE) | (kind === "ridmap" ? ID_MAP_RECURSIVE : 0);
    const same = { set: 0n, clear: 0n, recursiveSet: 0n, recursiveClear: 0n, propagation: 0n };
    this.#plan.add("prepareBind", { ...same, number, flags, idMap, source, target: path });
    return number;
  }

  #addRootfs(rootfs: PlanRootfs, target: string): void {
    if (rootfs.type === "bind") {
      this.#plan.add("rootBind", { flags: 0, idMap: this.#own, source: rootfs.source, target });
      return;
    }
    const { upper = "", work = "", lower } = rootfs;
    for (const path of lower) this.#mapDirectory(path);
    if (upper !== "") this.#mapDirectory(upper.slice(0, upper.lastIndexOf("/")));
    const { linux } = this.#spec;
    this.#plan.add("rootOverlay", {
      ...overlayFields(rootfs, false),
      uid: this.#own === 0 ? 0 : (hostId(linux?.uidMappings, 0) ?? 0),
      gid: this.#own === 0 ? 0 : (hostId(linux?.gidMappings, 0) ?? 0),
      upper,
      work,
      target,
    });
  }

  #addImage({ mount, path }: PreparedMount, images: ReadonlyMap<string, PlanRootfs>, label: string): void {
    const found = images.get(mount.source ?? "");
    if (!found)
      throw new GantryError(
        "invalid-argument",
        `mount on ${mount.destination}: unknown image ${mount.source}`,
      );
    const image = labelledRootfs(found, label);
    if (image.type === "overlay") for (const lower of image.lower) this.#mapDirectory(lower);
    const number = this.#own === 0 ? 0 : this.#plan.nextMount();
    const part = mount.options?.find((option) => option.startsWith(SUB_PATH_OPTION));
    this.#plan.add("imageVolume", {
      idMap: this.#own,
      number,
      ...(image.type === "overlay"
        ? overlayFields(image, false)
        : { lower: [], options: [], flags: 0, classicBase: "", classicData: "" }),
      source: image.type === "bind" ? image.source : "",
      path: part?.slice(SUB_PATH_OPTION.length) ?? "",
      set: 0n,
      clear: 0n,
      target: path,
    });
    if (number !== 0) this.#plan.add("attach", { number, flags: 0, target: path });
  }
}
