/**
 * The pods: in memory as entries, in the store as records.
 *
 *   pod_sandboxes  id → PodSandboxRecord     written when the sandbox stands, and at each change of state
 */
import { GantryError } from "../base/errors.ts";
import type { RecordStore, RecordTable } from "../store/record-store.ts";
import type { Shim } from "../shim/shim.ts";
import type { CpuRate } from "./cpu-rate.ts";
import { findByPrefix } from "./identifier-index.ts";
import type { PodSandbox, PodSandboxMetadata } from "./pod-sandbox.ts";

interface PodSandboxRecord extends Omit<PodSandbox, "createdAtNs"> {
  createdAtNs: string;
  bootId: string;
  networkState: unknown;
  networkReleased: boolean;
}

export interface PodSandboxEntry {
  sandbox: PodSandbox;
  /** The boot of the host in which its namespaces live. */
  bootId: string;
  /** What the network's teardown needs. */
  networkState: unknown;
  /** Nothing of the pod's network, namespaces and mounts is left. */
  networkReleased: boolean;
  /** The shim of the pause process of a shared PID namespace. */
  pause?: Shim;
  /** The hooks have been told of its stop. */
  stopTold?: boolean;
  /** Since someone asked for its stats. */
  cpuRate?: CpuRate;
}

/** The name by which two requests for the same pod are known. */
export function podSandboxName(metadata: PodSandboxMetadata): string {
  return [metadata.namespace, metadata.name, metadata.uid, metadata.attempt].join("/");
}

export class PodSandboxTable {
  readonly #entries = new Map<string, PodSandboxEntry>();
  readonly #names = new Map<string, string>();
  readonly #table: RecordTable<PodSandboxRecord>;

  constructor(store: RecordStore) {
    this.#table = store.table<PodSandboxRecord>("pod_sandboxes");
  }

  /** Reads every record; called once, at start. */
  load(): PodSandboxEntry[] {
    for (const { record } of this.#table.list()) {
      const { bootId, networkState, networkReleased, createdAtNs, ...rest } = record;
      const sandbox: PodSandbox = { ...rest, createdAtNs: BigInt(createdAtNs) };
      this.#remember({ sandbox, bootId, networkState, networkReleased });
    }
    return [...this.#entries.values()];
  }

  /** Writes the entry's record; adds it when it is new. */
  save(entry: PodSandboxEntry): void {
    const { sandbox, bootId, networkState, networkReleased } = entry;
    this.#table.put(sandbox.id, {
      ...sandbox,
      createdAtNs: String(sandbox.createdAtNs),
      bootId,
      networkState,
      networkReleased,
    });
    this.#remember(entry);
  }

  delete(entry: PodSandboxEntry): void {
    const { id, config } = entry.sandbox;
    this.#table.delete(id);
    this.#entries.delete(id);
    const name = podSandboxName(config.metadata);
    if (this.#names.get(name) === id) this.#names.delete(name);
  }

  find(id: string): PodSandboxEntry | undefined {
    return findByPrefix(this.#entries, id, "pod sandbox");
  }

  /** @throws not-found. */
  get(id: string): PodSandboxEntry {
    const entry = this.find(id);
    if (!entry) throw new GantryError("not-found", `pod sandbox "${id}" not found`);
    return entry;
  }

  byName(name: string): PodSandboxEntry | undefined {
    return this.#entries.get(this.#names.get(name) ?? "");
  }

  all(): IterableIterator<PodSandboxEntry> {
    return this.#entries.values();
  }

  #remember(entry: PodSandboxEntry): void {
    this.#entries.set(entry.sandbox.id, entry);
    this.#names.set(podSandboxName(entry.sandbox.config.metadata), entry.sandbox.id);
  }
}
