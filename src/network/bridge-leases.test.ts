import assert from "node:assert/strict";
import { test } from "node:test";
import { BridgeLeases, type BridgeLease, type LeaseTable } from "./bridge-leases.ts";
import { formatIp, parseSubnet } from "./ip-address.ts";
import type { PortMapping } from "./pod-network.ts";

const subnets = [parseSubnet("10.231.0.0/24"), parseSubnet("fd31::/64")];

function memoryTable(): LeaseTable & { records: Map<string, BridgeLease> } {
  const records = new Map<string, BridgeLease>();
  return {
    records,
    put: (id, record) => void records.set(id, record),
    delete: (id) => void records.delete(id),
    list: () => [...records].map(([id, record]) => ({ id, record })),
  };
}

const port = (hostPort: number, hostIp = "", protocol: PortMapping["protocol"] = "tcp"): PortMapping => ({
  protocol,
  containerPort: 80,
  hostPort,
  hostIp,
});

test("a lease has the same host in both subnets, and is found again", () => {
  const table = memoryTable();
  const { addresses, elements } = new BridgeLeases(subnets, table).acquire("a", [port(8080)]);
  assert.deepEqual(addresses.map(formatIp), ["10.231.0.2", "fd31::2"]);
  assert.deepEqual(
    elements.map(({ map, key, data }) => [
      map,
      Buffer.from(key).toString("hex"),
      Buffer.from(data).toString("hex"),
    ]),
    [
      ["ports4any", "060000001f900000", "0ae7000200500000"],
      ["ports6any", "060000001f900000", "fd31000000000000000000000000000200500000"],
    ],
  );
  const again = new BridgeLeases(subnets, table);
  assert.deepEqual(again.ids(), ["a"]);
  assert.deepEqual(again.elements(), elements);
  assert.deepEqual(again.acquire("b", []).addresses.map(formatIp), ["10.231.0.3", "fd31::3"]);
});

test("a suspended lease has no elements, but holds its address and ports until the release", () => {
  const table = memoryTable();
  const leases = new BridgeLeases([parseSubnet("10.231.0.0/30")], table);
  leases.acquire("a", [port(80)]);
  assert.equal(leases.suspend("a").elements.length, 1);
  assert.deepEqual(leases.elements(), []);
  assert.throws(() => leases.acquire("b", [port(80)]), { kind: "failed-precondition" });
  assert.throws(() => leases.acquire("b", []), { kind: "resource-exhausted" });
  assert.equal(table.records.size, 1);
  leases.release("a");
  leases.release("a");
  assert.equal(table.records.size, 0);
  assert.equal(leases.acquire("b", [port(80)]).elements.length, 1);
});

test("an acquire that fails holds nothing", () => {
  const table = memoryTable();
  const leases = new BridgeLeases([parseSubnet("10.231.0.0/30")], table);
  leases.acquire("a", []);
  assert.throws(() => leases.acquire("b", [port(81)]), { kind: "resource-exhausted" });
  leases.release("a");
  table.put = () => {
    throw new Error("disk full");
  };
  assert.throws(() => leases.acquire("c", [port(81)]), /disk full/);
  table.put = () => undefined;
  assert.equal(leases.acquire("d", [port(81)]).elements.length, 1);
});

test("ports conflict where protocol, family, port and address overlap", () => {
  const leases = new BridgeLeases(subnets, memoryTable());
  leases.acquire("all", [port(1)]);
  leases.acquire("one", [port(2, "192.0.2.1"), port(3, "0.0.0.0"), port(4, "::"), port(5, "fd00:0::1")]);
  const conflicts = [
    port(1),
    port(1, "10.0.0.1"),
    port(1, "::1"),
    port(2),
    port(2, "0.0.0.0"),
    port(2, "192.0.2.1"),
  ];
  for (const mapping of [
    ...conflicts,
    port(3, "10.0.0.1"),
    port(4, "fd00::1"),
    port(5, "fd00::1"),
    port(4),
  ]) {
    assert.throws(
      () => leases.acquire("x", [port(100), mapping]),
      { kind: "failed-precondition", message: /host tcp port \d of .* is in use by pod sandbox "(all|one)"/ },
      JSON.stringify(mapping),
    );
  }
  const free = [
    port(1, "", "udp"),
    port(1, "", "sctp"),
    port(2, "192.0.2.2"),
    port(3, "::"),
    port(4, "10.0.0.1"),
  ];
  leases.acquire("y", [...free, port(100)]);
});

test("mappings that are not valid are refused", () => {
  const leases = new BridgeLeases(subnets, memoryTable());
  const wrong = [port(0), port(65_536), port(1.5), port(1, "localhost"), { ...port(1), containerPort: 0 }];
  for (const mapping of wrong) {
    assert.throws(
      () => leases.acquire("x", [mapping]),
      { kind: "invalid-argument" },
      JSON.stringify(mapping),
    );
  }
  assert.throws(() => leases.acquire("x", [port(1, "", "icmp" as "tcp")]), { kind: "invalid-argument" });
  assert.deepEqual(leases.ids(), []);
});

test("a mapping named twice is one element", () => {
  const leases = new BridgeLeases([subnets[0]!], memoryTable());
  assert.equal(leases.acquire("a", [port(1), port(1), port(1, "0.0.0.0")]).elements.length, 1);
  assert.equal(leases.acquire("b", [port(2, "::1")]).elements.length, 0, "no IPv6 in the pod");
});

test("leases of another subnet are kept until they are released", () => {
  const table = memoryTable();
  table.put("old", { addresses: ["10.99.0.2"], ports: [port(7)] });
  const leases = new BridgeLeases(subnets, table);
  assert.equal(leases.hostOf("old"), undefined);
  assert.throws(() => leases.acquire("new", [port(7)]), { kind: "failed-precondition" });
  leases.release("old");
  assert.equal(table.records.size, 0);
});
