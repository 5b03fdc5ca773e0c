/** The embedded network with real namespaces, devices and packets. Needs root, and the ip, nft and busybox commands. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { silentLogger } from "../base/logger.ts";
import { unpinNamespaces, pinNamespaces } from "../native/namespace.ts";
import {
  askFrom,
  fileLeases,
  never,
  NetworkFixture,
  NO_ANSWER_MS,
  runIn,
  serveIn,
  talkFrom,
} from "./bridge-network.fixture.ts";
import { createBridgeNetwork } from "./bridge-network.ts";
import type { PodNetwork, PodNetworkRequest, PodNetworkResult, PortMapping } from "./pod-network.ts";

describe("traffic", () => {
  const fixture = new NetworkFixture();
  const { third, suffix } = fixture;
  const outside = {
    directory: join(fixture.directory, "outside"),
    host: `10.232.${third}.1`,
    far: `10.232.${third}.2`,
  };
  const far = join(outside.directory, "net");
  const first = 20_000 + third * 40;
  const ports: PortMapping[] = [
    { protocol: "tcp", containerPort: 80, hostPort: first, hostIp: "" },
    { protocol: "udp", containerPort: 80, hostPort: first, hostIp: "" },
    { protocol: "tcp", containerPort: 80, hostPort: first + 1, hostIp: outside.host },
  ];
  let network: PodNetwork;
  let a: PodNetworkRequest, b: PodNetworkRequest;
  let resultA: PodNetworkResult, resultB: PodNetworkResult;

  before(async () => {
    // The world outside: a namespace behind a router of its own, which knows no way to the pods.
    await pinNamespaces({
      directory: outside.directory,
      net: true,
      ipc: false,
      uts: false,
      loopback: true,
      sysctls: [],
    });
    fixture.onClose(() => unpinNamespaces(outside.directory));
    const device = `gto${suffix}`;
    runIn(undefined, "ip", "link", "add", device, "type", "veth", "peer", "name", "far0", "netns", far);
    fixture.onClose(() => void spawnSync("ip", ["link", "del", device]));
    runIn(undefined, "ip", "addr", "add", `${outside.host}/24`, "dev", device);
    runIn(undefined, "ip", "link", "set", device, "up");
    runIn(far, "ip", "addr", "add", `${outside.far}/24`, "dev", "far0");
    runIn(far, "ip", "link", "set", "far0", "up");

    network = fixture.network({ subnet6: `fd31:${third.toString(16)}::/64` });
    a = (await fixture.pod(ports)).request;
    b = (await fixture.pod()).request;
    [resultA, resultB] = await Promise.all([network.setup(a, never), network.setup(b, never)]);
    await serveIn(fixture, a.netnsPath, "a", 80);
    await serveIn(fixture, far, "far", 80);
  });
  after(() => fixture.close());

  test("two pods have addresses of the subnets and reach each other", () => {
    const [a4 = "", a6 = ""] = resultA.ips;
    assert.match(a4, new RegExp(`^10\\.231\\.${third}\\.[23]$`));
    assert.match(a6, new RegExp(`^fd31:${third.toString(16)}::[23]$`));
    assert.equal(resultA.interfaceName, "eth0");
    assert.equal(askFrom(b.netnsPath, a4, 80), `a ${resultB.ips[0]}`);
    assert.equal(askFrom(b.netnsPath, a6, 80), `a ${resultB.ips[1]}`);
    assert.match(runIn(b.netnsPath, "busybox", "ping", "-c", "1", "-W", "2", a4), /1 packets received/);
  });

  test("the host reaches a pod by both families", () => {
    assert.equal(askFrom(undefined, resultA.ips[0] ?? "", 80), `a 10.231.${third}.1`);
    assert.equal(askFrom(undefined, resultA.ips[1] ?? "", 80), `a fd31:${third.toString(16)}::1`);
  });

  test("a pod reaches the outside with the host's address", () => {
    assert.equal(askFrom(b.netnsPath, outside.far, 80), `far ${outside.host}`);
  });

  test("port mappings work from outside, from the host, its loopback, and pods", () => {
    assert.equal(askFrom(far, outside.host, first), `a ${outside.far}`);
    assert.equal(askFrom(far, outside.host, first, "udp"), `a ${outside.far}`);
    assert.equal(askFrom(undefined, outside.host, first), `a ${outside.host}`);
    assert.equal(askFrom(undefined, "127.0.0.1", first), `a 10.231.${third}.1`);
    assert.equal(askFrom(undefined, "127.0.0.1", first, "udp"), `a 10.231.${third}.1`);
    assert.equal(askFrom(b.netnsPath, outside.host, first), `a 10.231.${third}.1`);
    assert.equal(askFrom(a.netnsPath, outside.host, first), `a 10.231.${third}.1`, "hairpin");
    assert.equal(
      askFrom(undefined, `fd31:${third.toString(16)}::1`, first),
      `a fd31:${third.toString(16)}::1`,
    );
  });

  test("a mapping with a host address is of that address alone", () => {
    assert.equal(askFrom(far, outside.host, first + 1), `a ${outside.far}`);
    assert.equal(askFrom(undefined, "127.0.0.1", first + 1, "tcp", NO_ANSWER_MS), "");
  });

  test("a mapping of an address that is not the host's takes nobody's traffic", async () => {
    const elsewhere = `10.234.${third}.9`;
    const port = first + 13;
    runIn(far, "ip", "addr", "add", `${elsewhere}/32`, "dev", "far0");
    runIn(undefined, "ip", "route", "add", elsewhere, "via", outside.far);
    await serveIn(fixture, far, "elsewhere", port);
    const c = (await fixture.pod([{ protocol: "tcp", containerPort: 80, hostPort: port, hostIp: elsewhere }]))
      .request;
    await network.setup(c, never);
    await serveIn(fixture, c.netnsPath, "thief", 80);
    assert.equal(askFrom(undefined, elsewhere, port), `elsewhere ${outside.host}`);
    assert.equal(askFrom(b.netnsPath, elsewhere, port), `elsewhere ${outside.host}`);
    await network.teardown(c, undefined, never);
  });

  test("a mapping of the host's loopback is not for its neighbours", async () => {
    const port = first + 15;
    const c = (
      await fixture.pod([{ protocol: "udp", containerPort: 80, hostPort: port, hostIp: "127.0.0.1" }])
    ).request;
    await network.setup(c, never);
    await serveIn(fixture, c.netnsPath, "c", 80);
    assert.equal(askFrom(undefined, "127.0.0.1", port, "udp"), `c 10.231.${third}.1`);
    // A neighbour without a loopback of its own, that takes the answers of a foreign one.
    const neighbour = join(fixture.directory, "neighbour");
    await pinNamespaces({
      directory: neighbour,
      net: true,
      ipc: false,
      uts: false,
      loopback: false,
      sysctls: [],
    });
    fixture.onClose(() => unpinNamespaces(neighbour));
    const netns = join(neighbour, "net");
    const device = `gtn${suffix}`;
    runIn(undefined, "ip", "link", "add", device, "type", "veth", "peer", "name", "near0", "netns", netns);
    fixture.onClose(() => void spawnSync("ip", ["link", "del", device]));
    runIn(undefined, "ip", "addr", "add", `10.235.${third}.1/24`, "dev", device);
    runIn(undefined, "ip", "link", "set", device, "up");
    runIn(netns, "ip", "addr", "add", `10.235.${third}.2/24`, "dev", "near0");
    runIn(netns, "ip", "link", "set", "near0", "up");
    runIn(netns, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/near0/route_localnet");
    runIn(netns, "ip", "route", "add", "127.0.0.1", "via", `10.235.${third}.1`);
    assert.equal(askFrom(netns, `10.235.${third}.1`, first, "udp"), `a 10.235.${third}.2`, "the way is open");
    assert.equal(askFrom(netns, "127.0.0.1", port, "udp", NO_ANSWER_MS), "");
    await network.teardown(c, undefined, never);
  });

  test("a second pod cannot take a port that is held", async () => {
    const c = (
      await fixture.pod([{ protocol: "tcp", containerPort: 1, hostPort: first, hostIp: "127.0.0.1" }])
    ).request;
    await assert.rejects(network.setup(c, never), {
      kind: "failed-precondition",
      message: new RegExp(`tcp port ${first} of 127.0.0.1 is in use by pod sandbox "${a.podSandboxId}"`),
    });
  });

  test("a pod does not reach servers on the host's loopback (CVE-2020-8558)", async () => {
    const port = first + 7;
    await serveIn(fixture, undefined, "host", port, "127.0.0.1");
    const c = (await fixture.pod()).request;
    await network.setup(c, never);
    const gateway = `10.231.${third}.1`;
    runIn(c.netnsPath, "ip", "addr", "flush", "dev", "lo");
    runIn(c.netnsPath, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet");
    runIn(c.netnsPath, "ip", "route", "add", "127.0.0.1", "via", gateway);
    assert.equal(askFrom(undefined, "127.0.0.1", port), "host 127.0.0.1");
    assert.equal(askFrom(c.netnsPath, "127.0.0.1", port, "tcp", NO_ANSWER_MS), "");
    await network.teardown(c, undefined, never);
  });

  test("a pod believes no router advertisement (CVE-2020-10749)", () => {
    const path = "/proc/sys/net/ipv6/conf/eth0/accept_ra";
    assert.equal(runIn(b.netnsPath, "cat", path).trim(), "0");
    assert.equal(runIn(undefined, "cat", path.replace("eth0", fixture.bridge)).trim(), "0");
  });

  test("the rules come back after somebody has flushed them", async () => {
    const before = fixture.elements();
    runIn(undefined, "nft", "delete", "table", "inet", fixture.table);
    const mapping: PortMapping = { protocol: "tcp", containerPort: 80, hostPort: first + 9, hostIp: "" };
    const c = (await fixture.pod([mapping])).request;
    await network.setup(c, never);
    assert.equal(fixture.elements()?.length, (before?.length ?? 0) + 2);
    await network.teardown(c, undefined, never);
    assert.deepEqual(fixture.elements()?.sort(), before?.sort());
    assert.equal(askFrom(far, outside.host, first), `a ${outside.far}`);
  });

  test("a UDP client that never pauses reaches the next pod that has the port", async () => {
    const mapping: PortMapping = { protocol: "udp", containerPort: 80, hostPort: first + 11, hostIp: "" };
    const [one, two] = [(await fixture.pod([mapping])).request, (await fixture.pod([mapping])).request];
    await network.setup(one, never);
    await serveIn(fixture, one.netnsPath, "one", 80);
    await serveIn(fixture, two.netnsPath, "two", 80);
    const client = await talkFrom(fixture, far, outside.host, first + 11);
    await client("one");
    await network.teardown(one, undefined, never);
    await network.setup(two, never);
    await client("two");
    await network.teardown(two, undefined, never);
  });

  test("teardown removes the pod's device and elements, and is idempotent", async () => {
    await network.teardown(a, undefined, never);
    assert.deepEqual(fixture.elements(), []);
    assert.equal(fixture.ports().length, 1);
    assert.equal(runIn(a.netnsPath, "ip", "-o", "link").trim().split("\n").length, 1, "only lo");
    await network.teardown(a, undefined, never);
    await network.teardown({ ...a, podSandboxId: "never", netnsPath: "/nonexistent" }, undefined, never);
  });
});

describe("refusals", () => {
  const fixture = new NetworkFixture();
  after(() => fixture.close());

  test("a subnet that the host uses", async () => {
    const device = `gtc${fixture.suffix}`;
    runIn(undefined, "ip", "link", "add", device, "type", "veth", "peer", "name", `${device}p`);
    fixture.onClose(() => void spawnSync("ip", ["link", "del", device]));
    runIn(undefined, "ip", "addr", "add", `10.233.${fixture.third}.9/24`, "dev", device);
    runIn(undefined, "ip", "link", "set", device, "up");
    const network = fixture.network({ subnet: `10.233.${fixture.third}.0/25` });
    const { request } = await fixture.pod();
    await assert.rejects(network.setup(request, never), {
      kind: "failed-precondition",
      message: new RegExp(`holds the host's address 10.233.${fixture.third}.9 of "${device}"`),
    });
    assert.equal(network.status().ready, false);
    assert.notEqual(spawnSync("ip", ["link", "show", fixture.bridge]).status, 0);
  });

  test("a device of the bridge's name that is not ours", async () => {
    runIn(undefined, "ip", "link", "add", fixture.bridge, "type", "bridge");
    const network = fixture.network();
    const { request } = await fixture.pod();
    await assert.rejects(network.setup(request, never), {
      kind: "failed-precondition",
      message: /is not this instance's/,
    });
    runIn(undefined, "ip", "link", "del", fixture.bridge);
    assert.equal((await network.setup(request, never)).ips.length, 1, "and works once it is gone");
    assert.equal(network.status().ready, true);
    await network.teardown(request, undefined, never);
  });

  test("a bridge that could not be made is tried again by itself", async () => {
    await fixture.network().close();
    runIn(undefined, "ip", "link", "add", fixture.bridge, "type", "bridge");
    const network = fixture.network({ repairMs: 50 });
    const { request } = await fixture.pod();
    await assert.rejects(network.setup(request, never), { kind: "failed-precondition" });
    assert.equal(network.status().ready, false);
    runIn(undefined, "ip", "link", "del", fixture.bridge);
    for (let n = 0; n < 200 && !network.status().ready; n++) await setTimeout(20);
    assert.equal(network.status().ready, true);
    await network.close();
  });

  test("of two instances that make the same bridge at once one has it", async () => {
    await fixture.network().close();
    const { third, bridge } = fixture;
    for (let round = 0; round < 5; round += 1) {
      const subnets = [`10.231.${third}.0/25`, `10.231.${third}.128/25`];
      const networks = subnets.map((subnet, i) => {
        const instance = `${fixture.instance}-${i}`;
        const leases = fileLeases(`${fixture.leasesPath}.${i}`);
        return createBridgeNetwork(fixture.options({ subnet, instance, leases }));
      });
      const pods = [(await fixture.pod()).request, (await fixture.pod()).request];
      const setUp = networks.map((network, i) => network.setup(pods[i] as PodNetworkRequest, never));
      const winners = (await Promise.allSettled(setUp)).map(({ status }) => status === "fulfilled");
      const alias = runIn(undefined, "cat", `/sys/class/net/${bridge}/ifalias`).trim();
      for (const [i, network] of networks.entries()) {
        await network.teardown(pods[i] as PodNetworkRequest, undefined, never);
        await network.close();
      }
      assert.equal(winners.filter(Boolean).length, 1, "one of the two");
      assert.equal(alias, `gantry ${fixture.instance}-${winners.indexOf(true)}`);
      assert.notEqual(spawnSync("ip", ["link", "show", bridge]).status, 0, "and deletes it");
    }
  });

  test("a foreign chain that drops is told of", async () => {
    await fixture.network().close();
    const table = `foreign-${fixture.suffix}`;
    // With a rule that accepts everything, so that nothing of this machine is dropped.
    runIn(
      undefined,
      "nft",
      `add table ip ${table}; add chain ip ${table} forwarded { type filter hook forward priority 0; policy drop; };
      add rule ip ${table} forwarded accept`,
    );
    fixture.onClose(() => void spawnSync("nft", ["delete", "table", "ip", table]));
    const warnings: object[] = [];
    const log = { ...silentLogger, warn: (fields: object) => void warnings.push(fields) };
    const { request } = await fixture.pod();
    const network = fixture.network({ log });
    await network.setup(request, never);
    await network.teardown(request, undefined, never);
    assert.ok(
      warnings.some((fields) => JSON.stringify(fields).includes(`${table}\\" chain \\"forwarded`)),
      JSON.stringify(warnings),
    );
  });

  test("a namespace that is not there, a file that is none", async () => {
    const network = fixture.network();
    const { request } = await fixture.pod();
    await assert.rejects(network.setup({ ...request, netnsPath: "/nonexistent" }, never), {
      kind: "not-found",
    });
    mkdirSync(join(fixture.directory, "file"));
    await assert.rejects(
      network.setup({ ...request, netnsPath: join(fixture.directory, "file") }, never),
      /EINVAL/,
    );
    assert.deepEqual(fixture.ports(), []);
    assert.equal((await network.setup(request, never)).ips.length, 1);
    await network.teardown(request, undefined, never);
  });

  test("more pods than the subnet has addresses", async () => {
    await fixture.network().close();
    const network = fixture.network({ subnet: `10.231.${fixture.third}.0/30` });
    const [one, two] = [await fixture.pod(), await fixture.pod()];
    assert.deepEqual((await network.setup(one.request, never)).ips, [`10.231.${fixture.third}.2`]);
    await assert.rejects(network.setup(two.request, never), { kind: "resource-exhausted" });
    await network.teardown(one.request, undefined, never);
    assert.deepEqual((await network.setup(two.request, never)).ips, [`10.231.${fixture.third}.2`]);
    await network.teardown(two.request, undefined, never);
  });
});
