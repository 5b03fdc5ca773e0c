/**
 * IP addresses and subnets as numbers: bigint values with a family, so that IPv4 and IPv6 share one arithmetic.
 * Text goes in and out in the canonical forms only (RFC 5952 for IPv6).
 */
import { isIP, SocketAddress } from "node:net";
import { GantryError } from "../base/errors.ts";

export type IpFamily = 4 | 6;

export interface IpAddress {
  readonly family: IpFamily;
  readonly value: bigint;
}

export interface IpSubnet {
  readonly family: IpFamily;
  /** The first address. */
  readonly base: bigint;
  readonly prefixLength: number;
}

/** 32 or 128. */
export function familyBits(family: IpFamily): number {
  return family === 4 ? 32 : 128;
}

/** @throws GantryError invalid-argument. IPv6 zones and IPv4 in leading-zero forms are refused. */
export function parseIp(text: string): IpAddress {
  const family = isIP(text);
  if (family === 4) {
    return { family, value: text.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n) };
  }
  if (family === 6 && !text.includes("%")) return { family, value: parseIpv6(text) };
  throw new GantryError("invalid-argument", `${JSON.stringify(text)} is not an IP address`);
}

function parseIpv6(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  let groups = text;
  if (dotted) {
    const { value } = parseIp(dotted[2] ?? "");
    groups = `${dotted[1]}${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
  }
  const [head = "", tail] = groups.split("::");
  const left = head ? head.split(":") : [];
  const right = tail ? tail.split(":") : [];
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array<string>(zeros).fill("0"), ...right].reduce(
    (sum, group) => sum * 65536n + BigInt(`0x${group}`),
    0n,
  );
}

export function formatIp(address: IpAddress): string {
  if (address.family === 4) return [...ipBytes(address)].join(".");
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((address.value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16),
  );
  return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
}

/** 4 or 16 bytes, network order. */
export function ipBytes(address: IpAddress): Uint8Array {
  const length = familyBits(address.family) / 8;
  return Uint8Array.from({ length }, (_, i) =>
    Number((address.value >> BigInt(8 * (length - 1 - i))) & 0xffn),
  );
}

/** From 4 or 16 bytes in network order. */
export function ipFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length !== 4 && bytes.length !== 16) {
    throw new GantryError("internal", `IP address of ${bytes.length} bytes`);
  }
  return {
    family: bytes.length === 4 ? 4 : 6,
    value: bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n),
  };
}

/** @throws GantryError invalid-argument; also where host bits are set ("10.1.2.3/16"). */
export function parseSubnet(text: string): IpSubnet {
  const subnet = parsePrefix(text);
  if (subnet.base & (subnetSize(subnet) - 1n)) {
    throw new GantryError("invalid-argument", `subnet ${text} has bits set after its prefix`);
  }
  return subnet;
}

/** The subnet of an address with a prefix: "10.1.2.3/16" is in 10.1.0.0/16. @throws GantryError invalid-argument. */
export function networkOf(text: string): IpSubnet {
  const subnet = parsePrefix(text);
  return { ...subnet, base: subnet.base & ~(subnetSize(subnet) - 1n) };
}

function parsePrefix(text: string): IpSubnet {
  const [address = "", prefix = "", ...rest] = text.split("/");
  const { family, value } = parseIp(address);
  const prefixLength = /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
  if (rest.length > 0 || prefixLength < 0 || prefixLength > familyBits(family)) {
    throw new GantryError("invalid-argument", `${JSON.stringify(text)} is not a subnet`);
  }
  return { family, base: value, prefixLength };
}

export function formatSubnet(subnet: IpSubnet): string {
  return `${formatIp({ family: subnet.family, value: subnet.base })}/${subnet.prefixLength}`;
}

export function subnetSize(subnet: IpSubnet): bigint {
  return 1n << BigInt(familyBits(subnet.family) - subnet.prefixLength);
}

export function subnetContains(subnet: IpSubnet, address: IpAddress): boolean {
  const offset = address.value - subnet.base;
  return subnet.family === address.family && offset >= 0n && offset < subnetSize(subnet);
}

/** The address at an index of the subnet; 0 is its base. */
export function subnetAddress(subnet: IpSubnet, index: number): IpAddress {
  return { family: subnet.family, value: subnet.base + BigInt(index) };
}
