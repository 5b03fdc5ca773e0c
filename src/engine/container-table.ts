/**
 * The containers: in memory as entries, in the store as records.
 *
 *   containers       id → ContainerRecord   written when the container is created, and at each change of state
 *   container_specs  id → Spec              the OCI configuration, read again for start and exec
 */
import { GantryError } from "../base/errors.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import type { RecordStore, RecordTable } from "../store/record-store.ts";
import type { Shim } from "../shim/shim.ts";
import type { Container } from "./container.ts";
import type { ContainerStop } from "./container-stop.ts";
import type { CpuRate } from "./cpu-rate.ts";
import { findByPrefix } from "./identifier-index.ts";
import type { LayerState } from "./layer-walks.ts";

interface ContainerRecord extends Omit<Container, "createdAtNs" | "startedAtNs" | "finishedAtNs" | "pid"> {
  createdAtNs: string;
  startedAtNs: string;
  finishedAtNs: string;
  cgroupPath: string;
}

export interface ContainerEntry {
  container: Container;
  /** In the syntax of the cgroup manager. */
  cgroupPath: string;
  /** While running, and after a restart of the daemon until the exit has been dealt with. */
  shim?: Shim;
  /** Resolves when the exit is in the record. */
  exited?: Promise<void>;
  /** Resolves when, after the exit, shim and cgroup are gone too. */
  released?: Promise<void>;
  /** The hooks have agreed to the start under way. */
  starting?: boolean;
  /** While hooks of its configuration run after its exit. */
  hooksEnding?: Promise<void>;
  /** Resolves when the hooks have been told of the exit. */
  stopTold?: Promise<void>;
  /** Resolves when the hooks have been told and the record is gone. */
  removal?: Promise<void>;
  /** The stop under way. */
  stop?: ContainerStop;
  /** Since someone asked for its stats. */
  cpuRate?: CpuRate;
  /** What is known of the size of its writable layer, since someone asked. */
  layer?: LayerState;
}

export function containerName(podSandboxId: string, metadata: { name: string; attempt: number }): string {
  return [podSandboxId, metadata.name, metadata.attempt].join("/");
}

export class ContainerTable {
  readonly #entries = new Map<string, ContainerEntry>();
  readonly #names = new Map<string, string>();
  readonly #byPod = new Map<string, Set<ContainerEntry>>();
  readonly #store: RecordStore;
  readonly #table: RecordTable<ContainerRecord>;
  readonly #specs: RecordTable<Spec>;

  constructor(store: RecordStore) {
    this.#store = store;
    this.#table = store.table<ContainerRecord>("containers");
    this.#specs = store.table<Spec>("container_specs");
  }

  /** Reads every record; called once, at start. */
  load(): ContainerEntry[] {
    for (const { record } of this.#table.list()) {
      const { cgroupPath, ...rest } = record;
      const container: Container = {
        ...rest,
        createdAtNs: BigInt(rest.createdAtNs),
        startedAtNs: BigInt(rest.startedAtNs),
        finishedAtNs: BigInt(rest.finishedAtNs),
      };
      this.#remember({ container, cgroupPath });
    }
    return [...this.#entries.values()];
  }

  /** Adds a created container with its configuration, in one transaction. */
  add(entry: ContainerEntry, spec: Spec): void {
    this.saveWithSpec(entry, spec);
    this.#remember(entry);
  }

  /** Writes the entry's record after a change. */
  save(entry: ContainerEntry): void {
    this.#write(entry);
  }

  /** Writes the entry's record and configuration after a change of both. */
  saveWithSpec(entry: ContainerEntry, spec: Spec): void {
    this.#store.transaction(() => {
      this.#specs.put(entry.container.id, spec);
      this.#write(entry);
    });
  }

  delete(entry: ContainerEntry): void {
    const { id, podSandboxId, config } = entry.container;
    this.#store.transaction(() => {
      this.#table.delete(id);
      this.#specs.delete(id);
    });
    this.#entries.delete(id);
    const name = containerName(podSandboxId, config.metadata);
    if (this.#names.get(name) === id) this.#names.delete(name);
    const siblings = this.#byPod.get(podSandboxId);
    siblings?.delete(entry);
    if (siblings?.size === 0) this.#byPod.delete(podSandboxId);
  }

  find(id: string): ContainerEntry | undefined {
    return findByPrefix(this.#entries, id, "container");
  }

  /** @throws not-found. */
  get(id: string): ContainerEntry {
    const entry = this.find(id);
    if (!entry) throw new GantryError("not-found", `container "${id}" not found`);
    return entry;
  }

  /** The shim of a running container. @throws not-found, and failed-precondition for one that does not run. */
  runningShim(id: string): { entry: ContainerEntry; shim: Shim } {
    const entry = this.get(id);
    const { container, shim } = entry;
    if (container.state !== "running" || !shim)
      throw new GantryError(
        "failed-precondition",
        `container "${container.id}" is ${container.state}, not running`,
      );
    return { entry, shim };
  }

  /** @throws data-loss when the store has lost it. */
  spec(entry: ContainerEntry): Spec {
    const spec = this.#specs.get(entry.container.id);
    if (!spec)
      throw new GantryError(
        "data-loss",
        `container "${entry.container.id}": its configuration is not in the store`,
      );
    return spec;
  }

  saveSpec(entry: ContainerEntry, spec: Spec): void {
    this.#specs.put(entry.container.id, spec);
  }

  byName(name: string): ContainerEntry | undefined {
    return this.#entries.get(this.#names.get(name) ?? "");
  }

  ofPod(podSandboxId: string): ContainerEntry[] {
    return [...(this.#byPod.get(podSandboxId) ?? [])];
  }

  all(): IterableIterator<ContainerEntry> {
    return this.#entries.values();
  }

  #write({ container, cgroupPath }: ContainerEntry): void {
    const { pid: _live, ...rest } = container;
    this.#table.put(container.id, {
      ...rest,
      createdAtNs: String(container.createdAtNs),
      startedAtNs: String(container.startedAtNs),
      finishedAtNs: String(container.finishedAtNs),
      cgroupPath,
    });
  }

  #remember(entry: ContainerEntry): void {
    const { id, podSandboxId, config } = entry.container;
    this.#entries.set(id, entry);
    this.#names.set(containerName(podSandboxId, config.metadata), id);
    let siblings = this.#byPod.get(podSandboxId);
    if (!siblings) this.#byPod.set(podSandboxId, (siblings = new Set()));
    siblings.add(entry);
  }
}
