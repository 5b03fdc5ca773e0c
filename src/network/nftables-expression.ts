/**
 * The expressions that nftables rules are made of, and the matches and actions that the bridge's rules need
 * (linux/netfilter/nf_tables.h). A rule is a small program: load something into a register, compare, act.
 *
 * Registers are the 4-byte ones, 0 to 15; a field of a concatenated key takes whole registers, one after the other.
 */
import type { AttributeWriter } from "../netlink/netlink-message.ts";

/** Writes the expression's name and data into a list element. */
export type Expression = (element: AttributeWriter) => void;

const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;
const NFT_REG_VERDICT = 0;
const NFT_REG32_00 = 8;

const NFPROTO_IPV4 = 2;
const NFPROTO_IPV6 = 10;
const IPS_DST_NAT = 0x20;
const RTN_LOCAL = 2;
const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 0x10;

const META = { iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 } as const;
const NFT_CT_STATUS = 2;

function expression(name: string, fill: (data: AttributeWriter) => void): Expression {
  return (element) => element.string(NFTA_EXPR_NAME, name).nested(NFTA_EXPR_DATA, fill);
}

/** Loads packet metadata: the protocol numbers as one byte, interface names as 16. */
export function loadMeta(key: keyof typeof META, register = 0): Expression {
  return expression("meta", (data) => data.be32(1, NFT_REG32_00 + register).be32(2, META[key]));
}

/** Loads bytes of the network (1) or transport (2) header. */
export function loadPayload(
  base: "network" | "transport",
  offset: number,
  length: number,
  register = 0,
): Expression {
  return expression("payload", (data) =>
    data
      .be32(1, NFT_REG32_00 + register)
      .be32(2, base === "network" ? 1 : 2)
      .be32(3, offset)
      .be32(4, length),
  );
}

/** Goes on only if the register's bytes are (not) the value. */
export function compare(operator: "==" | "!=", value: Uint8Array, register = 0): Expression {
  return expression("cmp", (data) =>
    data
      .be32(1, NFT_REG32_00 + register)
      .be32(2, operator === "==" ? 0 : 1)
      .nested(3, (inner) => inner.bytes(NFTA_DATA_VALUE, value)),
  );
}

/** register = register & mask. */
export function mask(bytes: Uint8Array, register = 0): Expression {
  return expression("bitwise", (data) =>
    data
      .be32(1, NFT_REG32_00 + register)
      .be32(2, NFT_REG32_00 + register)
      .be32(3, bytes.length)
      .nested(4, (inner) => inner.bytes(NFTA_DATA_VALUE, bytes))
      .nested(5, (inner) => inner.bytes(NFTA_DATA_VALUE, new Uint8Array(bytes.length))),
  );
}

/** Looks the key at register 0 up and puts the map's data at register 0; goes on only if it is found. */
export function lookupMap(map: string, id: number): Expression {
  return expression("lookup", (data) =>
    data.string(1, map).be32(2, NFT_REG32_00).be32(3, NFT_REG32_00).be32(4, id),
  );
}

/** Rewrites the destination to the address at register 0 and the port at the register after it. */
export function destinationNat(family: 4 | 6): Expression {
  const port = NFT_REG32_00 + (family === 4 ? 1 : 4);
  return expression("nat", (data) =>
    data
      .be32(1, 1)
      .be32(2, family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6)
      .be32(3, NFT_REG32_00)
      .be32(4, NFT_REG32_00)
      .be32(5, port)
      .be32(6, port),
  );
}

/** Rewrites the source to the address of the interface that the packet leaves by. */
export function masquerade(): Expression {
  return expression("masq", (data) => data.be32(1, NF_NAT_RANGE_PROTO_RANDOM_FULLY));
}

export function drop(): Expression {
  return verdict(0);
}

/** Goes through the other chain and comes back. */
export function jump(chain: string): Expression {
  return verdict(-3, chain);
}

function verdict(code: number, chain?: string): Expression {
  return expression("immediate", (data) =>
    data.be32(1, NFT_REG_VERDICT).nested(2, (inner) =>
      inner.nested(NFTA_DATA_VERDICT, (value) => {
        value.be32(NFTA_VERDICT_CODE, code);
        if (chain !== undefined) value.string(NFTA_VERDICT_CHAIN, chain);
      }),
    ),
  );
}

/** Only packets of that IP version. */
export function matchFamily(family: 4 | 6): Expression[] {
  return [loadMeta("nfproto"), compare("==", Uint8Array.of(family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6))];
}

/** Only packets that came in (or go out) by the interface of that name, or by any other. */
export function matchInterface(
  key: "iifname" | "oifname",
  operator: "==" | "!=",
  name: string,
): Expression[] {
  const padded = Buffer.alloc(16);
  padded.write(name);
  return [loadMeta(key), compare(operator, padded)];
}

/** Only packets whose source or destination is (not) within the subnet. */
export function matchSubnet(
  side: "source" | "destination",
  operator: "==" | "!=",
  subnet: { family: 4 | 6; bytes: Uint8Array; prefixLength: number },
): Expression[] {
  const { family, bytes, prefixLength } = subnet;
  const ones = Uint8Array.from(
    bytes,
    (_, i) => 0xff & ~(0xff >> Math.min(8, Math.max(0, prefixLength - 8 * i))),
  );
  return [loadIpAddress(side, family), mask(ones), compare(operator, bytes)];
}

/** The packet's source or destination address. */
export function loadIpAddress(side: "source" | "destination", family: 4 | 6, register = 0): Expression {
  const length = family === 4 ? 4 : 16;
  const source = family === 4 ? 12 : 8;
  return loadPayload("network", side === "source" ? source : source + length, length, register);
}

/** The destination port of tcp, udp and sctp alike. */
export function loadDestinationPort(register: number): Expression {
  return loadPayload("transport", 2, 2, register);
}

/** Only packets to an address of this host. */
export function matchLocalDestination(): Expression[] {
  const NFTA_FIB_F_DADDR = 2;
  const NFT_FIB_RESULT_ADDRTYPE = 3;
  return [
    expression("fib", (data) =>
      data.be32(1, NFT_REG32_00).be32(2, NFT_FIB_RESULT_ADDRTYPE).be32(3, NFTA_FIB_F_DADDR),
    ),
    compare("==", hostU32(RTN_LOCAL)),
  ];
}

/** Only packets of connections whose destination was rewritten. */
export function matchDestinationRewritten(): Expression[] {
  return [
    expression("ct", (data) => data.be32(1, NFT_REG32_00).be32(2, NFT_CT_STATUS)),
    mask(hostU32(IPS_DST_NAT)),
    compare("!=", hostU32(0)),
  ];
}

/** Registers hold the kernel's own numbers in the host's byte order. */
function hostU32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
