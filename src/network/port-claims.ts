/**
 * Which pod holds which port of the host, and how a mapping becomes elements of the firewall's maps. A mapping
 * without a host address holds its port on every address, of both families.
 */
import { GantryError } from "../base/errors.ts";
import type { MapName, PortElement } from "./bridge-firewall.ts";
import { formatIp, ipBytes, parseIp, type IpAddress, type IpFamily } from "./ip-address.ts";
import type { PortMapping } from "./pod-network.ts";

const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;

/** One port of one family: of all addresses, or of one. */
interface Claim {
  family: IpFamily;
  /** Undefined for all addresses. */
  address: IpAddress | undefined;
  protocol: PortMapping["protocol"];
  hostPort: number;
}

export class PortClaims {
  /** "tcp 4 80" → address or "*" → pod. */
  readonly #holders = new Map<string, Map<string, string>>();

  /**
   * Takes all ports for the pod, or none of them.
   *
   * @throws GantryError failed-precondition that names the port and who holds it; invalid-argument for a mapping
   *   that is not valid.
   */
  claim(podSandboxId: string, mappings: readonly PortMapping[]): void {
    const claims = mappings.flatMap(claimsOf);
    for (const claim of claims) {
      const holder = this.#conflict(podSandboxId, claim);
      if (holder === undefined) continue;
      const where = claim.address ? formatIp(claim.address) : "all addresses";
      const port = `${claim.protocol} port ${claim.hostPort} of ${where}`;
      throw new GantryError("failed-precondition", `host ${port} is in use by pod sandbox "${holder}"`);
    }
    for (const claim of claims) {
      const key = portKey(claim);
      let byAddress = this.#holders.get(key);
      if (!byAddress) this.#holders.set(key, (byAddress = new Map<string, string>()));
      byAddress.set(addressKey(claim), podSandboxId);
    }
  }

  /** Gives up what the pod holds of these. */
  release(podSandboxId: string, mappings: readonly PortMapping[]): void {
    for (const claim of mappings.flatMap(claimsOf)) {
      const byAddress = this.#holders.get(portKey(claim));
      if (byAddress?.get(addressKey(claim)) !== podSandboxId) continue;
      byAddress.delete(addressKey(claim));
      if (byAddress.size === 0) this.#holders.delete(portKey(claim));
    }
  }

  #conflict(podSandboxId: string, claim: Claim): string | undefined {
    for (const [address, holder] of this.#holders.get(portKey(claim)) ?? []) {
      const overlaps = claim.address === undefined || address === "*" || address === addressKey(claim);
      if (overlaps && holder !== podSandboxId) return holder;
    }
    return undefined;
  }
}

/** The elements that send a pod's mappings to its addresses; families that the pod has not are left out. */
export function portElements(
  addresses: readonly IpAddress[],
  mappings: readonly PortMapping[],
): PortElement[] {
  const elements = new Map<string, PortElement>();
  for (const mapping of mappings) {
    for (const claim of claimsOf(mapping)) {
      const target = addresses.find(({ family }) => family === claim.family);
      if (!target) continue;
      const map: MapName = `ports${claim.family}${claim.address ? "" : "any"}`;
      const key = Buffer.concat([
        Uint8Array.of(PROTOCOLS[claim.protocol], 0, 0, 0),
        claim.address ? ipBytes(claim.address) : new Uint8Array(),
        portBytes(claim.hostPort),
      ]);
      const data = Buffer.concat([ipBytes(target), portBytes(mapping.containerPort)]);
      elements.set(`${map} ${key.toString("hex")}`, { map, key, data });
    }
  }
  return [...elements.values()];
}

function claimsOf(mapping: PortMapping): Claim[] {
  const { protocol, hostPort, containerPort, hostIp } = mapping;
  for (const port of [hostPort, containerPort]) {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new GantryError("invalid-argument", `port mapping: ${port} is not a port`);
    }
  }
  if (!(protocol in PROTOCOLS))
    throw new GantryError("invalid-argument", `port mapping: protocol "${protocol}"`);
  if (hostIp === "") {
    return ([4, 6] as const).map((family) => ({ family, address: undefined, protocol, hostPort }));
  }
  const address = parseIp(hostIp);
  return [
    { family: address.family, address: address.value === 0n ? undefined : address, protocol, hostPort },
  ];
}

function portKey({ protocol, family, hostPort }: Claim): string {
  return `${protocol} ${family} ${hostPort}`;
}

function addressKey({ address }: Claim): string {
  return address ? formatIp(address) : "*";
}

/** A port in network order, padded to the 4 bytes of a register. */
function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 0xff, 0, 0);
}
