/** Pod networks cut off, repeated, crowded and crashed: nothing is left and nothing is lost. Needs root, ip and nft. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { unpinNamespaces } from "../native/namespace.ts";
import { never, NetworkFixture, runIn } from "./bridge-network.fixture.ts";
import { podLinkName } from "./pod-link.ts";
import type { PortMapping } from "./pod-network.ts";

/** A signal that aborts at its n-th look. */
function abortingAt(n: number): AbortSignal & { looks: number } {
  const signal = Object.assign(new AbortController().signal, { looks: 0 });
  signal.throwIfAborted = () => {
    if (++signal.looks === n) throw new DOMException("cut off", "AbortError");
  };
  return signal;
}

describe("cut off", () => {
  const fixture = new NetworkFixture();
  const port: PortMapping = {
    protocol: "tcp",
    containerPort: 80,
    hostPort: 19_000 + fixture.third,
    hostIp: "",
  };
  after(() => fixture.close());

  test("a set-up aborted at any step leaves nothing, and can be repeated", async () => {
    const network = fixture.network();
    const { request } = await fixture.pod([port]);
    let steps = 0;
    for (let n = 1; ; n++) {
      const signal = abortingAt(n);
      try {
        await network.setup(request, signal);
        break;
      } catch (error) {
        assert.match(String(error), /cut off/);
      }
      steps += 1;
      assert.deepEqual(fixture.ports(), []);
      assert.deepEqual(fixture.elements() ?? [], []);
      assert.deepEqual(fixture.options().leases.list(), []);
      assert.equal(runIn(request.netnsPath, "ip", "-o", "link").trim().split("\n").length, 1, "only lo");
    }
    assert.ok(steps >= 3, `aborted at ${steps} steps`);
    await network.teardown(request, undefined, never);
  });

  test("a failure on the way leaves nothing", async () => {
    const network = fixture.network();
    const { request } = await fixture.pod([port]);
    runIn(request.netnsPath, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other");
    await assert.rejects(network.setup(request, never), { kind: "already-exists" });
    assert.deepEqual(fixture.ports(), []);
    assert.deepEqual(fixture.elements(), []);
    assert.deepEqual(fixture.options().leases.list(), []);
  });

  test("a repeated set-up has the same result", async () => {
    const network = fixture.network();
    const { request } = await fixture.pod([port]);
    const first = await network.setup(request, never);
    assert.deepEqual(await network.setup(request, never), first);
    assert.deepEqual(await fixture.network().setup(request, never), first, "by another daemon process, too");
    assert.equal(fixture.ports().length, 1);
    assert.equal(fixture.elements()?.length, 1);
    await fixture.network().teardown(request, undefined, never);
  });

  test("the bridge comes back after somebody has deleted it", async () => {
    const network = fixture.network();
    const { request } = await fixture.pod();
    await network.setup(request, never);
    await network.teardown(request, undefined, never);
    runIn(undefined, "ip", "link", "del", fixture.bridge);
    assert.equal((await network.setup(request, never)).ips.length, 1);
    await network.teardown(request, undefined, never);
  });

  test("pods are connected again to a bridge that was deleted under them", async () => {
    const network = fixture.network();
    const [a, b, c] = [await fixture.pod(), await fixture.pod(), await fixture.pod()];
    await network.setup(a.request, never);
    const { ips } = await network.setup(b.request, never);
    runIn(undefined, "ip", "link", "del", fixture.bridge);
    await network.setup(c.request, never);
    assert.equal(fixture.ports().length, 3);
    for (const from of [a.request.netnsPath, c.request.netnsPath, undefined])
      assert.match(runIn(from, "busybox", "ping", "-c", "1", "-W", "2", ips[0] ?? ""), /1 packets received/);
    for (const { request } of [a, b, c]) await network.teardown(request, undefined, never);
  });

  test("a namespace that ended before its teardown takes nothing with it that teardown needs", async () => {
    const network = fixture.network();
    const { request, directory } = await fixture.pod([port]);
    await network.setup(request, never);
    await unpinNamespaces(directory);
    await network.teardown(request, undefined, never);
    assert.deepEqual(fixture.elements(), []);
    assert.deepEqual(fixture.options().leases.list(), []);
    for (let i = 0; i < 200 && fixture.ports().length > 0; i++) await setTimeout(10);
    assert.deepEqual(fixture.ports(), []);
  });
});

describe("crash", () => {
  const fixture = new NetworkFixture();
  after(() => fixture.close());

  test("what a killed process leaves is collected, what lives is kept", async () => {
    const port = 18_000 + fixture.third;
    const kept = await fixture.pod([{ protocol: "udp", containerPort: 5, hostPort: port, hostIp: "" }]);
    const { ips } = await fixture.network().setup(kept.request, never);
    const script = join(fixture.directory, "child.ts");
    const options = { ...fixture.options(), leases: undefined, log: undefined };
    writeFileSync(
      script,
      `import { createBridgeNetwork } from ${JSON.stringify(join(import.meta.dirname, "bridge-network.ts"))};
       import { fileLeases, never } from ${JSON.stringify(join(import.meta.dirname, "bridge-network.fixture.ts"))};
       import { silentLogger } from ${JSON.stringify(join(import.meta.dirname, "../base/logger.ts"))};
       const leases = fileLeases(${JSON.stringify(fixture.leasesPath)});
       const network = createBridgeNetwork({ ...${JSON.stringify(options)}, leases, log: silentLogger });
       const request = JSON.parse(process.argv[2]);
       process.stdin.once("data", async () => {
         for (;;) { await network.setup(request, never); await network.teardown(request, undefined, never); console.log("cycle"); }
       });
       console.log("ready");`,
    );
    let dirty = 0;
    for (let round = 0; round < 12 || (dirty === 0 && round < 200); round++) {
      const { request } = await fixture.pod([
        { protocol: "tcp", containerPort: 5, hostPort: port, hostIp: "" },
      ]);
      const child = spawn(process.execPath, [script, JSON.stringify(request)], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      const ended = new Promise((resolve) => child.once("exit", resolve));
      const line = (): Promise<unknown> => new Promise((resolve) => child.stdout.once("data", resolve));
      await line();
      child.stdin.write("go");
      // In turn during the first set-up, and somewhere in the cycles after it.
      if (round % 2 === 1) await line();
      await setTimeout(round % 12);
      child.kill("SIGKILL");
      await ended;
      if (fixture.ports().length > 1 || (fixture.elements()?.length ?? 0) > 1) dirty += 1;
      const network = fixture.network();
      await network.collect(new Set([kept.request.podSandboxId]));
      assert.deepEqual(fixture.ports(), [podLinkName(kept.request.podSandboxId)]);
      assert.equal(fixture.elements()?.length, 1, "the kept pod's mapping");
      assert.deepEqual(
        fixture
          .options()
          .leases.list()
          .map(({ id, record }) => [id, record.addresses]),
        [[kept.request.podSandboxId, ips]],
      );
    }
    assert.ok(dirty > 0, "at least one kill left something to collect");
    runIn(undefined, "ip", "link", "add", `gts${fixture.suffix}`, "master", fixture.bridge, "type", "veth");
    await fixture.network().collect(new Set([kept.request.podSandboxId]));
    assert.deepEqual(fixture.ports(), [podLinkName(kept.request.podSandboxId)], "a port of no lease is gone");
  });
});

describe("crowd", () => {
  const fixture = new NetworkFixture();
  after(() => fixture.close());

  test("50 at once have 50 addresses", async () => {
    const network = fixture.network();
    const pods = await Promise.all(Array.from({ length: 50 }, () => fixture.pod()));
    const results = await Promise.all(pods.map(({ request }) => network.setup(request, never)));
    assert.equal(new Set(results.map(({ ips }) => ips[0])).size, 50);
    assert.equal(fixture.ports().length, 50);
    for (const [i, { request }] of pods.entries()) {
      if (i % 10 === 0)
        runIn(
          request.netnsPath,
          "busybox",
          "ping",
          "-c",
          "1",
          "-W",
          "2",
          results[(i + 7) % 50]?.ips[0] ?? "",
        );
    }
    await Promise.all(pods.map(({ request }) => network.teardown(request, undefined, never)));
    assert.deepEqual(fixture.ports(), []);
    await Promise.all(pods.map(({ directory }) => unpinNamespaces(directory)));
  });

  test("300 in turn use the addresses again, none of them at once", async () => {
    const network = fixture.network();
    const { request } = await fixture.pod();
    const seen: string[] = [];
    for (let i = 0; i < 300; i++) {
      const { ips } = await network.setup({ ...request, podSandboxId: `${i}` }, never);
      await network.teardown({ ...request, podSandboxId: `${i}` }, undefined, never);
      seen.push(ips[0] ?? "");
    }
    assert.equal(new Set(seen.slice(0, 253)).size, 253, "all of the subnet before any again");
    assert.equal(new Set(seen).size, 253);
    assert.deepEqual(fixture.ports(), []);
  });
});
