import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatIp,
  formatSubnet,
  ipBytes,
  ipFromBytes,
  parseIp,
  parseSubnet,
  subnetAddress,
  subnetContains,
} from "./ip-address.ts";

test("addresses go through text and bytes unchanged, in canonical form", () => {
  const forms: [string, string][] = [
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["10.88.0.1", "10.88.0.1"],
    ["::", "::"],
    ["::1", "::1"],
    ["fd00:0:0:0:0:0:0:1", "fd00::1"],
    ["FD00::A:0:0:1", "fd00::a:0:0:1"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["2001:db8::", "2001:db8::"],
    ["::ffff:10.0.0.1", "::ffff:10.0.0.1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ];
  for (const [text, canonical] of forms) {
    const address = parseIp(text);
    assert.equal(formatIp(address), canonical);
    assert.deepEqual(ipFromBytes(ipBytes(address)), address);
  }
});

test("what is no address is refused", () => {
  for (const text of ["", "10.0.0", "10.0.0.256", "010.0.0.1", "::1::", "fe80::1%eth0", "1:2:3", "x"]) {
    assert.throws(() => parseIp(text), { kind: "invalid-argument" }, text);
  }
});

test("subnets", () => {
  const subnet = parseSubnet("10.88.16.0/20");
  assert.equal(formatSubnet(subnet), "10.88.16.0/20");
  assert.equal(formatIp(subnetAddress(subnet, 257)), "10.88.17.1");
  assert.ok(subnetContains(subnet, parseIp("10.88.31.255")));
  assert.ok(!subnetContains(subnet, parseIp("10.88.32.0")));
  assert.ok(!subnetContains(subnet, parseIp("10.88.15.255")));
  assert.ok(!subnetContains(parseSubnet("::/0"), parseIp("10.0.0.1")), "families do not mix");
  for (const text of [
    "10.88.1.0/16",
    "10.0.0.0",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "fd00::/129",
    "/8",
    "10.0.0.0/ 8",
  ]) {
    assert.throws(() => parseSubnet(text), { kind: "invalid-argument" }, text);
  }
});
