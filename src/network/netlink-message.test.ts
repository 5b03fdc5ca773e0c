/** The byte form of netlink messages, against vectors derived by hand from netlink(7). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { addAddress, decodeAddresses, decodeRoutes, addDefaultRoute } from "./address-message.ts";
import { parseIp, parseSubnet } from "./ip-address.ts";
import { createVeth, deleteLink } from "./link-message.ts";
import {
  AttributeWriter,
  attributeText,
  decodeMessages,
  encodeMessages,
  listAttributes,
  readAttributes,
} from "../netlink/netlink-message.ts";
import { nftAddElements, nftAddMap, nftBatch } from "./nftables-message.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const packed = (text: string): string => text.replace(/#.*$/gm, "").replace(/\s/g, "");

test("attributes are padded, nested and big-endian where asked", () => {
  const bytes = new AttributeWriter(Uint8Array.of(0xaa))
    .u8(1, 7)
    .u16(2, 0x0102)
    .u32(3, 0x01020304)
    .be32(4, 0x01020304)
    .string(5, "abc")
    .nested(6, (inner) => inner.u8(1, 1))
    .finish();
  assert.equal(
    hex(bytes),
    packed(`
      aa000000
      0500 0100 07000000
      0600 0200 02010000
      0800 0300 04030201
      0800 0400 01020304
      0800 0500 61626300
      0c00 0680 0500 0100 01000000`),
  );
  const attributes = readAttributes(Buffer.from(bytes.subarray(4)));
  assert.equal(attributeText(attributes.get(5) as Buffer), "abc");
  assert.equal(listAttributes(attributes.get(6) as Buffer)[0]?.value[0], 1);
});

test("a value that does not fit its length is refused (CVE-2021-43784)", () => {
  assert.equal(new AttributeWriter().bytes(1, new Uint8Array(65_531)).finish().length, 65_536);
  assert.throws(() => new AttributeWriter().bytes(1, new Uint8Array(65_532)), { kind: "internal" });
  assert.throws(() => new AttributeWriter().nested(1, (inner) => inner.bytes(1, new Uint8Array(65_530))));
});

test("messages have a header, a sequence number and NLM_F_REQUEST", () => {
  const message = { type: 0x1234, flags: 4, payload: Uint8Array.of(1, 2, 3), description: "" };
  const bytes = encodeMessages([message, { ...message, payload: new Uint8Array() }], 9);
  assert.equal(
    hex(bytes),
    packed(`13000000 3412 0500 09000000 00000000 01020300
            10000000 3412 0500 0a000000 00000000`),
  );
  const replies = decodeMessages(Buffer.from(bytes));
  assert.deepEqual(
    replies.map(({ type, sequence, payload }) => [type, sequence, payload.length]),
    [
      [0x1234, 9, 3],
      [0x1234, 10, 0],
    ],
  );
});

test("lengths that do not fit are data-loss", () => {
  for (const text of ["0f000000 0000 0000 00000000 00000000", "20000000 0000 0000 00000000 00000000"]) {
    assert.throws(() => decodeMessages(Buffer.from(packed(text), "hex")), { kind: "data-loss" });
  }
  for (const text of ["03000100", "0900010000000000", "ffff0100"]) {
    assert.throws(() => readAttributes(Buffer.from(packed(text), "hex")), { kind: "data-loss" });
  }
});

test("deleting a link", () => {
  assert.equal(
    hex(encodeMessages([deleteLink("gt0")], 1)),
    packed(`28000000 1100 0100 01000000 00000000
            00 00 0000 00000000 00000000 00000000   # ifinfomsg
            0800 0300 67743000                      # IFLA_IFNAME`),
  );
});

test("a veth pair with its peer in another namespace", () => {
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  const peer = { name: "eth0", mac, netnsFd: 33 };
  const { payload } = createVeth({ name: "gt0", mac, master: 5, mtu: 1400, peer });
  assert.equal(
    hex(payload),
    packed(`
      00000000000000000000000000000000        # ifinfomsg
      0800 0300 67743000                      # IFLA_IFNAME
      0a00 0100 020000000001 0000             # IFLA_ADDRESS
      0800 0400 78050000                      # IFLA_MTU
      0800 0a00 05000000                      # IFLA_MASTER
      0800 1f00 01000000 0800 2000 01000000   # IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES
      6000 1200                               # IFLA_LINKINFO
        0900 0100 7665746800 000000           # IFLA_INFO_KIND "veth"
        5000 0200                             # IFLA_INFO_DATA
          4c00 0100                           # VETH_INFO_PEER
            00000000000000000000000000000000
            0900 0300 6574683000 000000
            0a00 0100 020000000001 0000
            0800 0400 78050000
            0800 1f00 01000000 0800 2000 01000000
            0800 1c00 21000000                # IFLA_NET_NS_FD`),
  );
});

test("addresses and routes", () => {
  const subnet = parseSubnet("10.231.4.0/24");
  const address = addAddress(7, parseIp("10.231.4.9"), subnet);
  assert.equal(
    hex(address.payload),
    packed(`02 18 00 00 07000000
            0800 0200 0ae70409 0800 0100 0ae70409 0800 0400 0ae704ff`),
  );
  const six = addAddress(7, parseIp("fd00::9"), parseSubnet("fd00::/64"));
  assert.match(hex(six.payload), /^0a400000070000001400 ?0200fd00.*0800080002000000$/);
  const route = addDefaultRoute(7, parseIp("10.231.4.1"));
  assert.equal(
    hex(route.payload),
    packed(`02 00 00 00 fe 04 00 01 00000000 0800 0500 0ae70401 0800 0400 07000000`),
  );
  const reply = { flags: 0, sequence: 1 };
  assert.deepEqual(decodeAddresses([{ ...reply, type: 20, payload: Buffer.from(address.payload) }]), [
    { linkIndex: 7, address: parseIp("10.231.4.9"), prefixLength: 24 },
  ]);
  assert.deepEqual(decodeRoutes([{ ...reply, type: 24, payload: Buffer.from(route.payload) }]), [
    {
      destination: parseSubnet("0.0.0.0/0"),
      linkIndex: 7,
      gateway: parseIp("10.231.4.1"),
      table: 254,
      type: 1,
    },
  ]);
});

test("nftables batches, maps and elements", () => {
  const map = nftAddMap("t", { name: "m", id: 3, key: ["protocol", "ipv4", "port"], data: ["ipv4", "port"] });
  assert.equal(map.type, 0x0a09);
  assert.equal(
    hex(map.payload),
    packed(`
      01 00 0000                              # nfgenmsg: inet
      0600 0100 74000000 0600 0200 6d000000   # table, name
      0800 0300 00000008                      # NFT_SET_MAP
      0800 0400 0000c1cd                      # 12 << 12 | 7 << 6 | 13
      0800 0500 0000000c
      0800 0600 000001cd                      # 7 << 6 | 13
      0800 0700 00000008
      0800 0a00 00000003`),
  );
  const element = { key: Uint8Array.of(6, 0, 0, 0), data: Uint8Array.of(1, 2, 3, 4) };
  const [elements] = nftAddElements("t", "m", [element]);
  assert.equal(
    hex(elements?.payload ?? new Uint8Array()),
    packed(`
      01 00 0000 0600 0100 74000000 0600 0200 6d000000
      2000 0380                               # NFTA_SET_ELEM_LIST_ELEMENTS
        1c00 0180                             # NFTA_LIST_ELEM
          0c00 0180 0800 0100 06000000
          0c00 0280 0800 0100 01020304`),
  );
  assert.deepEqual(
    nftBatch(elements ? [elements] : []).map(({ type, payload }) => [type, hex(payload.subarray(0, 4))]),
    [
      [0x10, "0000000a"],
      [0x0a0c, "01000000"],
      [0x11, "0000000a"],
    ],
  );
  // Only newer kernels acknowledge the end of a batch: the reply to wait for is that to the last message in it.
  const unacknowledged = nftBatch([map]).map((message) => message.unacknowledged ?? false);
  assert.deepEqual(unacknowledged, [true, false, true]);
  assert.equal(
    nftAddElements(
      "t",
      "m",
      Array.from({ length: 1001 }, () => element),
    ).length,
    3,
  );
  assert.equal(nftAddElements("t", "m", []).length, 0);
});
