/**
 * The state of the containers that gantry-oci made, below its root:
 *
 *   ROOT/ID/state.json   replaced by rename; the container exists once it is there
 *   ROOT/ID/start.fifo   init waits here; deleted by `start`
 *   ROOT/ID/lock         flock of the command that changes the container
 *
 *   (nothing) ──create──▶ created ──start──▶ running ──▶ stopped ──delete──▶ (nothing)
 *                                            │    ▲
 *                                          pause resume
 *                                            ▼    │
 *                                            paused
 *
 * The status is not stored: it follows from the fifo, from whether init, by pid and start time, is alive, and from the
 * cgroup's freezer.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { sleep } from "../../base/abort.ts";
import { errnoCode, GantryError } from "../../base/errors.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import { parseExactJson, stringifyExactJson } from "../exact-json.ts";
import type { Spec } from "../runtime-spec.ts";

const ID = /^[A-Za-z0-9_+.-]+$/;
/** NAME_MAX: it is a directory's name. */
const MAX_ID = 255;
const LOCK_TIMEOUT_MS = 10_000;

export type ContainerStatus = "creating" | "created" | "running" | "paused" | "stopped";

export interface StoredContainer {
  id: string;
  bundle: string;
  /** Resolved host path of the root filesystem. */
  rootfs: string;
  pid: number;
  /** Of init, in clock ticks since boot: tells it from a later process of the same pid. */
  startTime: number;
  /** RFC 3339. */
  created: string;
  cgroupPath: string;
  noPivot: boolean;
  /** The configuration that the container was made from. */
  spec: Spec;
}

/** The state as the specification has it (runtime.md, "State"). */
export interface ContainerState {
  ociVersion: string;
  id: string;
  status: ContainerStatus;
  pid: number;
  bundle: string;
  rootfs: string;
  created: string;
  annotations?: Record<string, string>;
  owner: string;
}

/** @throws GantryError invalid-argument for an id that cannot be a directory's name. */
export function containerDirectory(root: string, id: string): string {
  if (id.length > MAX_ID)
    throw new GantryError("invalid-argument", `container id is too long: more than ${MAX_ID} characters`);
  if (!ID.test(id) || id === "." || id === "..") {
    throw new GantryError(
      "invalid-argument",
      id === "" ? "container id cannot be empty" : `invalid container id ${shortened(JSON.stringify(id))}`,
    );
  }
  return join(root, id);
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

export function fifoPath(root: string, id: string): string {
  return join(containerDirectory(root, id), "start.fifo");
}

/** @throws GantryError not-found. */
export function loadContainer(root: string, id: string): StoredContainer {
  const path = join(containerDirectory(root, id), "state.json");
  try {
    return parseExactJson(readFileSync(path, "utf8")) as StoredContainer;
  } catch (error) {
    if (errnoCode(error) === "ENOENT") throw new GantryError("not-found", `container "${id}" does not exist`);
    if (error instanceof SyntaxError)
      throw new GantryError("data-loss", `container "${id}": ${path} is damaged: ${error.message}`);
    throw error;
  }
}

export function storeContainer(root: string, container: StoredContainer): void {
  const path = join(containerDirectory(root, container.id), "state.json");
  writeFileSync(`${path}.new`, stringifyExactJson(container), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Ids of directories that hold a container. */
export function containerIds(root: string): string[] {
  try {
    return readdirSync(root).filter((id) => ID.test(id) && existsSync(join(root, id, "state.json")));
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** State letter and start time of a process (proc_pid_stat(5)); undefined where there is none. */
export function processStat(pid: number): { state: string; startTime: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", startTime: Number(fields[19]) };
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ESRCH") return undefined;
    throw error;
  }
}

export function isAlive(container: StoredContainer): boolean {
  const stat = processStat(container.pid);
  return (
    stat !== undefined && stat.startTime === container.startTime && stat.state !== "Z" && stat.state !== "X"
  );
}

export function containerStatus(root: string, container: StoredContainer): ContainerStatus {
  if (!isAlive(container)) return "stopped";
  if (createCgroupManager().load(container.cgroupPath).isFrozen()) return "paused";
  return existsSync(fifoPath(root, container.id)) ? "created" : "running";
}

export function containerState(root: string, container: StoredContainer): ContainerState {
  const status = containerStatus(root, container);
  const { id, bundle, rootfs, created, spec } = container;
  return {
    ociVersion: spec.ociVersion,
    id,
    pid: status === "stopped" ? 0 : container.pid,
    status,
    bundle,
    rootfs,
    created,
    ...(spec.annotations ? { annotations: spec.annotations } : {}),
    owner: "",
  };
}

/** Makes the directory of a new container. @throws GantryError already-exists. */
export function reserveContainer(root: string, id: string): void {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  try {
    mkdirSync(containerDirectory(root, id), { mode: 0o700 });
  } catch (error) {
    if (errnoCode(error) === "EEXIST")
      throw new GantryError("already-exists", `container with id "${id}" already exists`);
    throw error;
  }
}

export function forgetContainer(root: string, id: string): void {
  rmSync(containerDirectory(root, id), { recursive: true, force: true });
}

/**
 * Runs the work while no other command changes this container.
 * @throws GantryError not-found when there is no such container, unavailable when another command holds it too long.
 */
export async function withContainerLock<T>(root: string, id: string, work: () => Promise<T>): Promise<T> {
  const { tryFileLock } = await import("../../native/notify.ts");
  let fd: number;
  try {
    fd = openSync(join(containerDirectory(root, id), "lock"), "a", 0o600);
  } catch (error) {
    if (errnoCode(error) === "ENOENT") throw new GantryError("not-found", `container "${id}" does not exist`);
    throw error;
  }
  try {
    for (const deadline = Date.now() + LOCK_TIMEOUT_MS; !tryFileLock(fd); await sleep(5)) {
      if (Date.now() > deadline)
        throw new GantryError("unavailable", `container "${id}" is in use by another command`);
    }
    return await work();
  } finally {
    closeSync(fd);
  }
}
