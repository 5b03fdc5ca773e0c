/**
 * nfnetlink messages for nftables (linux/netfilter/nfnetlink.h, nf_tables.h): tables, chains, rules, maps and their
 * elements in one batch that the kernel applies wholly or not at all.
 *
 * Everything is of the family `inet`. Expressions of rules are in nftables-expression.ts.
 */
import {
  AttributeWriter,
  attributeText,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_DUMP,
  readAttributes,
  type NetlinkMessage,
  type NetlinkReply,
} from "../netlink/netlink-message.ts";
import type { Expression } from "./nftables-expression.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFPROTO_INET = 1;

const NFT_MSG_NEWTABLE = 0;
const NFT_MSG_GETTABLE = 1;
const NFT_MSG_DELTABLE = 2;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_GETCHAIN = 4;
const NFT_MSG_NEWRULE = 6;
const NFT_MSG_NEWSET = 9;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_DELSETELEM = 14;

const NFTA_TABLE_NAME = 1;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_TABLE = 1;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_KEY_TYPE = 4;
const NFTA_SET_KEY_LEN = 5;
const NFTA_SET_DATA_TYPE = 6;
const NFTA_SET_DATA_LEN = 7;
const NFTA_SET_ID = 10;
const NFT_SET_MAP = 8;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NF_DROP = 0;
const NF_ACCEPT = 1;

/** linux/netfilter.h, enum nf_inet_hooks. */
export const NF_HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;

/** The numbers by which the nft command shows a type; each field of a concatenation takes whole 4 bytes. */
export type NftField = "ipv4" | "ipv6" | "protocol" | "port";
const FIELDS: Record<NftField, { type: number; bytes: number }> = {
  ipv4: { type: 7, bytes: 4 },
  ipv6: { type: 8, bytes: 16 },
  protocol: { type: 12, bytes: 4 },
  port: { type: 13, bytes: 4 },
};
const TYPE_BITS = 6;

export interface NftMap {
  name: string;
  /** Unique within the batch. */
  id: number;
  key: readonly NftField[];
  data: readonly NftField[];
}

export interface NftElement {
  key: Uint8Array;
  data: Uint8Array;
}

/** Elements of one message: below the 64 KiB of an attribute. */
const ELEMENTS_PER_MESSAGE = 400;

/** Frames the messages as one transaction. Kernels before 6.10 acknowledge the messages in it, but not its ends. */
export function nftBatch(messages: readonly NetlinkMessage[]): NetlinkMessage[] {
  const payload = Buffer.from([0, 0, 0, NFNL_SUBSYS_NFTABLES]);
  return [
    {
      type: NFNL_MSG_BATCH_BEGIN,
      flags: 0,
      payload,
      description: "begin nftables batch",
      unacknowledged: true,
    },
    ...messages,
    { type: NFNL_MSG_BATCH_END, flags: 0, payload, description: "end nftables batch", unacknowledged: true },
  ];
}

/** Creates the table if it is not there. */
export function nftAddTable(table: string): NetlinkMessage {
  const attributes = start().string(NFTA_TABLE_NAME, table);
  return message(NFT_MSG_NEWTABLE, NLM_F_CREATE, attributes, `create nftables table "${table}"`);
}

/** Deletes the table with all that is in it. */
export function nftDeleteTable(table: string): NetlinkMessage {
  return message(
    NFT_MSG_DELTABLE,
    0,
    start().string(NFTA_TABLE_NAME, table),
    `delete nftables table "${table}"`,
  );
}

/** Asks for the table alone; ENOENT without it. Not for a batch. */
export function nftGetTable(table: string): NetlinkMessage {
  return message(
    NFT_MSG_GETTABLE,
    0,
    start().string(NFTA_TABLE_NAME, table),
    `find nftables table "${table}"`,
  );
}

/** A chain; with a hook a base chain of policy accept. */
export function nftAddChain(
  table: string,
  chain: string,
  base?: { type: "nat" | "filter"; hook: keyof typeof NF_HOOK; priority: number },
): NetlinkMessage {
  const attributes = start().string(NFTA_CHAIN_TABLE, table).string(NFTA_CHAIN_NAME, chain);
  if (base) {
    attributes
      .nested(NFTA_CHAIN_HOOK, (hook) =>
        hook.be32(NFTA_HOOK_HOOKNUM, NF_HOOK[base.hook]).be32(NFTA_HOOK_PRIORITY, base.priority),
      )
      .be32(NFTA_CHAIN_POLICY, NF_ACCEPT)
      .string(NFTA_CHAIN_TYPE, base.type);
  }
  return message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, attributes, `create nftables chain "${table}" "${chain}"`);
}

/** Asks for all chains of all families. Not for a batch. */
export function nftListChains(): NetlinkMessage {
  const payload = new AttributeWriter(Uint8Array.of(0, 0, 0, 0)).finish();
  const type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN;
  return { type, flags: NLM_F_DUMP, payload, description: "list nftables chains" };
}

/** Of such a list, the chains at the forward hook whose policy is to drop: `table "filter" chain "FORWARD"`. */
export function droppingForwardChains(replies: readonly NetlinkReply[]): string[] {
  return replies
    .filter(({ type }) => type === ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWCHAIN))
    .map(({ payload }) => readAttributes(payload.subarray(4)))
    .filter((chain) => {
      const hook = chain.get(NFTA_CHAIN_HOOK);
      const number = hook && readAttributes(hook).get(NFTA_HOOK_HOOKNUM)?.readUInt32BE(0);
      return number === NF_HOOK.forward && chain.get(NFTA_CHAIN_POLICY)?.readUInt32BE(0) === NF_DROP;
    })
    .map((chain) => {
      const [table, name] = [NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME].map(
        (type) => chain.get(type) ?? Buffer.alloc(0),
      );
      return `table "${attributeText(table as Buffer)}" chain "${attributeText(name as Buffer)}"`;
    });
}

/** Appends a rule. */
export function nftAddRule(table: string, chain: string, expressions: readonly Expression[]): NetlinkMessage {
  const attributes = start()
    .string(NFTA_RULE_TABLE, table)
    .string(NFTA_RULE_CHAIN, chain)
    .nested(NFTA_RULE_EXPRESSIONS, (list) => {
      for (const expression of expressions) list.nested(NFTA_LIST_ELEM, expression);
    });
  return message(
    NFT_MSG_NEWRULE,
    NLM_F_CREATE | NLM_F_APPEND,
    attributes,
    `add nftables rule to "${table}" "${chain}"`,
  );
}

export function nftAddMap(table: string, map: NftMap): NetlinkMessage {
  const attributes = start()
    .string(NFTA_SET_TABLE, table)
    .string(NFTA_SET_NAME, map.name)
    .be32(NFTA_SET_FLAGS, NFT_SET_MAP)
    .be32(NFTA_SET_KEY_TYPE, concatenatedType(map.key))
    .be32(NFTA_SET_KEY_LEN, concatenatedBytes(map.key))
    .be32(NFTA_SET_DATA_TYPE, concatenatedType(map.data))
    .be32(NFTA_SET_DATA_LEN, concatenatedBytes(map.data))
    .be32(NFTA_SET_ID, map.id);
  return message(NFT_MSG_NEWSET, NLM_F_CREATE, attributes, `create nftables map "${table}" "${map.name}"`);
}

/** Adds elements. One that is there already is no error; its key with other data is EBUSY. */
export function nftAddElements(
  table: string,
  map: string,
  elements: readonly NftElement[],
): NetlinkMessage[] {
  return elementMessages(NFT_MSG_NEWSETELEM, NLM_F_CREATE, table, map, elements, "add");
}

/** Deletes elements by their keys; ENOENT when one is not there. */
export function nftDeleteElements(
  table: string,
  map: string,
  elements: readonly NftElement[],
): NetlinkMessage[] {
  return elementMessages(NFT_MSG_DELSETELEM, 0, table, map, elements, "delete");
}

function elementMessages(
  type: number,
  flags: number,
  table: string,
  map: string,
  elements: readonly NftElement[],
  verb: string,
): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let from = 0; from < elements.length; from += ELEMENTS_PER_MESSAGE) {
    const attributes = start()
      .string(NFTA_SET_ELEM_LIST_TABLE, table)
      .string(NFTA_SET_ELEM_LIST_SET, map)
      .nested(NFTA_SET_ELEM_LIST_ELEMENTS, (list) => {
        for (const { key, data } of elements.slice(from, from + ELEMENTS_PER_MESSAGE)) {
          list.nested(NFTA_LIST_ELEM, (element) => {
            element.nested(NFTA_SET_ELEM_KEY, (value) => value.bytes(NFTA_DATA_VALUE, key));
            if (type === NFT_MSG_NEWSETELEM) {
              element.nested(NFTA_SET_ELEM_DATA, (value) => value.bytes(NFTA_DATA_VALUE, data));
            }
          });
        }
      });
    messages.push(message(type, flags, attributes, `${verb} elements of nftables map "${table}" "${map}"`));
  }
  return messages;
}

function concatenatedType(fields: readonly NftField[]): number {
  return fields.reduce((type, field) => (type << TYPE_BITS) | FIELDS[field].type, 0);
}

function concatenatedBytes(fields: readonly NftField[]): number {
  return fields.reduce((bytes, field) => bytes + FIELDS[field].bytes, 0);
}

/** struct nfgenmsg: family, version, resource. */
function start(): AttributeWriter {
  return new AttributeWriter(Uint8Array.of(NFPROTO_INET, 0, 0, 0));
}

function message(
  type: number,
  flags: number,
  attributes: AttributeWriter,
  description: string,
): NetlinkMessage {
  return { type: (NFNL_SUBSYS_NFTABLES << 8) | type, flags, payload: attributes.finish(), description };
}
