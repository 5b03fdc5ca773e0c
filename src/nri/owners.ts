/**
 * Which plugin set which field of which container. Two plugins may not set the same one, unless the later plugin takes
 * away first what the earlier one set.
 */
import { GantryError } from "../base/errors.ts";
import type { FieldOwnersMessage } from "./messages.ts";
import { nriEnum } from "./protocol.ts";

const FIELDS = nriEnum("Field");
/** Before a plugin's name: it took the field away, and may set it. */
const REMOVED = "-";

export class FieldOwners {
  readonly #simple = new Map<string, string>();
  readonly #compound = new Map<string, Map<string, string>>();

  /** @param field name of the protocol's enum Field. @throws failed-precondition naming both plugins and the field. */
  claim(field: string, plugin: string, key?: string): void {
    const owners = this.#owners(field, key);
    const other = owners.get(key ?? field);
    if (other !== undefined && other !== `${REMOVED}${plugin}`) {
      const name = other.startsWith(REMOVED) ? other.slice(REMOVED.length) : other;
      throw new GantryError(
        "failed-precondition",
        `plugins "${plugin}" and "${name}" both tried to set ${field}${key === undefined ? "" : ` ${key}`}`,
      );
    }
    owners.set(key ?? field, plugin);
  }

  /** The plugin takes away what is there, whoever set it. */
  clear(field: string, plugin: string, key?: string): void {
    this.#owners(field, key).set(key ?? field, `${REMOVED}${plugin}`);
  }

  /** For a field to which every plugin may add. */
  join(field: string, plugin: string): void {
    const owner = this.#simple.get(field);
    this.#simple.set(field, owner === undefined ? plugin : `${owner},${plugin}`);
  }

  /** Undefined where nobody set it. */
  owner(field: string, key?: string): string | undefined {
    const owners = key === undefined ? this.#simple : this.#compound.get(field);
    const owner = owners?.get(key ?? field);
    return owner?.startsWith(REMOVED) ? undefined : owner;
  }

  /** Owners of a field with keys, by key. */
  ownersOf(field: string): [key: string, owner: string][] {
    return [...(this.#compound.get(field) ?? [])].filter(([, owner]) => !owner.startsWith(REMOVED));
  }

  message(): FieldOwnersMessage {
    const number = (field: string): number => FIELDS[field] ?? 0;
    return {
      simple: Object.fromEntries([...this.#simple].map(([field, owner]) => [number(field), owner])),
      compound: Object.fromEntries(
        [...this.#compound].map(([field, owners]) => [number(field), { owners: Object.fromEntries(owners) }]),
      ),
    };
  }

  #owners(field: string, key: string | undefined): Map<string, string> {
    if (key === undefined) return this.#simple;
    let owners = this.#compound.get(field);
    if (!owners) this.#compound.set(field, (owners = new Map<string, string>()));
    return owners;
  }
}

/** Claims each field of resources that is set. */
export function claimResources(
  owners: FieldOwners,
  plugin: string,
  resources: {
    memory: object | null;
    cpu: object | null;
    hugepage_limits: { page_size: string }[];
    unified: Record<string, string>;
    blockio_class: unknown;
    rdt_class: unknown;
    pids: unknown;
  },
): void {
  for (const [fields, values] of [
    [MEMORY_FIELDS, resources.memory],
    [CPU_FIELDS, resources.cpu],
  ] as const)
    for (const [name, value] of Object.entries(values ?? {}) as [string, unknown][])
      if (value && fields[name]) owners.claim(fields[name], plugin);
  for (const { page_size: pageSize } of resources.hugepage_limits)
    owners.claim("HugepageLimits", plugin, pageSize);
  for (const key of Object.keys(resources.unified)) owners.claim("CgroupsUnified", plugin, key);
  if (resources.blockio_class) owners.claim("BlockioClass", plugin);
  if (resources.rdt_class) owners.claim("RdtClass", plugin);
  if (resources.pids) owners.claim("PidsLimit", plugin);
}

const MEMORY_FIELDS: Readonly<Record<string, string>> = {
  limit: "MemLimit",
  reservation: "MemReservation",
  swap: "MemSwapLimit",
  kernel: "MemKernelLimit",
  kernel_tcp: "MemTCPLimit",
  swappiness: "MemSwappiness",
  disable_oom_killer: "MemDisableOomKiller",
  use_hierarchy: "MemUseHierarchy",
};

const CPU_FIELDS: Readonly<Record<string, string>> = {
  shares: "CPUShares",
  quota: "CPUQuota",
  period: "CPUPeriod",
  realtime_runtime: "CPURealtimeRuntime",
  realtime_period: "CPURealtimePeriod",
  cpus: "CPUSetCPUs",
  mems: "CPUSetMems",
};
