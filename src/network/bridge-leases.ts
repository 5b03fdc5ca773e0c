/**
 * Who has which addresses and ports of a bridge: one lease for each pod, durable in a table of the record store, with
 * the pool of addresses and the claims on ports that follow from all leases.
 *
 *   acquire ──▶ active ──suspend──▶ going ──release──▶ none
 *
 * Only active leases count as elements of the firewall; addresses and ports are held until the release.
 */
import { GantryError } from "../base/errors.ts";
import { AddressPool } from "./address-pool.ts";
import { GATEWAY_HOST } from "./bridge-device.ts";
import type { PortElement } from "./bridge-firewall.ts";
import {
  formatIp,
  parseIp,
  subnetAddress,
  subnetContains,
  subnetSize,
  type IpAddress,
  type IpSubnet,
} from "./ip-address.ts";
import type { PortMapping } from "./pod-network.ts";
import { PortClaims, portElements } from "./port-claims.ts";

/** The record of one pod, by its id. */
export interface BridgeLease {
  /** As text, IPv4 first. */
  addresses: string[];
  ports: PortMapping[];
}

/** What a RecordTable of the record store offers, as far as it is needed here. */
export interface LeaseTable {
  put(id: string, record: BridgeLease): void;
  delete(id: string): void;
  list(): { id: string; record: BridgeLease }[];
}

interface HeldLease {
  addresses: IpAddress[];
  ports: readonly PortMapping[];
  active: boolean;
}

export class BridgeLeases {
  readonly #subnets: readonly IpSubnet[];
  readonly #table: LeaseTable;
  readonly #pool: AddressPool;
  readonly #claims = new PortClaims();
  readonly #leases = new Map<string, HeldLease>();

  /** Reads the leases of the table. @param subnets the IPv4 one decides the pool's size. */
  constructor(subnets: readonly IpSubnet[], table: LeaseTable) {
    this.#subnets = subnets;
    this.#table = table;
    const hosts = subnets.map(subnetSize).reduce((least, size) => (size < least ? size : least));
    // Without the base, the gateway and the last: the IPv4 broadcast.
    this.#pool = new AddressPool(GATEWAY_HOST + 1, Number(hosts) - 2);
    for (const { id, record } of table.list()) {
      const addresses = record.addresses.map(parseIp);
      const host = this.#hostOf(addresses);
      if (host !== undefined) this.#pool.take(host);
      this.#claims.claim(id, record.ports);
      this.#leases.set(id, { addresses, ports: record.ports, active: true });
    }
  }

  ids(): string[] {
    return [...this.#leases.keys()];
  }

  /** The pod's index in the subnets; undefined without a lease. */
  hostOf(podSandboxId: string): number | undefined {
    const lease = this.#leases.get(podSandboxId);
    return lease && this.#hostOf(lease.addresses);
  }

  /**
   * Gives the pod one address of each subnet, and its ports.
   *
   * @param preferred the index to give if it is free.
   * @throws GantryError resource-exhausted, or failed-precondition for a port that another pod holds.
   */
  acquire(
    podSandboxId: string,
    ports: readonly PortMapping[],
    preferred?: number,
  ): { addresses: IpAddress[]; elements: PortElement[] } {
    if (this.#leases.has(podSandboxId))
      throw new GantryError("internal", `pod sandbox "${podSandboxId}" has a lease`);
    this.#claims.claim(podSandboxId, ports);
    let host: number | undefined;
    try {
      host = preferred !== undefined && this.#pool.take(preferred) ? preferred : this.#pool.allocate();
      const index = host;
      const addresses = this.#subnets.map((subnet) => subnetAddress(subnet, index));
      this.#table.put(podSandboxId, { addresses: addresses.map(formatIp), ports: [...ports] });
      this.#leases.set(podSandboxId, { addresses, ports, active: true });
      return { addresses, elements: portElements(addresses, ports) };
    } catch (error) {
      this.#claims.release(podSandboxId, ports);
      if (host !== undefined) this.#pool.release(host);
      throw error;
    }
  }

  /** Takes the pod's elements out of the firewall's; returns what it has. Nothing for an unknown pod. */
  suspend(podSandboxId: string): {
    elements: PortElement[];
    ports: readonly PortMapping[];
    addresses: readonly IpAddress[];
  } {
    const lease = this.#leases.get(podSandboxId);
    if (!lease) return { elements: [], ports: [], addresses: [] };
    lease.active = false;
    const { addresses, ports } = lease;
    return { elements: portElements(addresses, ports), ports, addresses };
  }

  /** Ends the lease; none is no error. */
  release(podSandboxId: string): void {
    const lease = this.#leases.get(podSandboxId);
    if (!lease) return;
    this.#table.delete(podSandboxId);
    this.#leases.delete(podSandboxId);
    this.#claims.release(podSandboxId, lease.ports);
    const host = this.#hostOf(lease.addresses);
    if (host !== undefined) this.#pool.release(host);
  }

  /** The elements of all active leases. */
  elements(): PortElement[] {
    return [...this.#leases.values()].flatMap(({ active, addresses, ports }) =>
      active ? portElements(addresses, ports) : [],
    );
  }

  /** Undefined for addresses of another subnet: the configuration has changed since. */
  #hostOf(addresses: readonly IpAddress[]): number | undefined {
    const subnet = this.#subnets[0];
    const address = addresses[0];
    if (!subnet || !address || !subnetContains(subnet, address)) return undefined;
    return Number(address.value - subnet.base);
  }
}
