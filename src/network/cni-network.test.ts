/** CNI by its specification, with plugins that record how they were called. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { CniFixture, never, RESULT, until } from "./cni-network.fixture.ts";
import type { PodNetwork } from "./pod-network.ts";

let fixture: CniFixture;
beforeEach(() => {
  fixture = new CniFixture();
  fixture.plugins("first", "second");
});
afterEach(() => fixture.close());

async function started(network: PodNetwork, pods: string[] = []): Promise<PodNetwork> {
  await network.collect(new Set(pods));
  return network;
}

const ports = [{ protocol: "tcp", containerPort: 80, hostPort: 8080, hostIp: "" }] as const;

describe("an attachment", () => {
  test("ADD runs the chain in order, and the cached result has the form of libcni", async () => {
    fixture.conf("10-a.conflist", fixture.list({ "cni.dev/own": 1 }));
    const network = await started(fixture.network());
    const dns = { servers: ["10.0.0.10"], searches: ["svc.local"], options: ["ndots:5"] };
    const request = fixture.request("pod1", { portMappings: ports, dns });
    fixture.takeCalls();
    const result = await network.setup(request, never);
    assert.deepEqual(result.ips, ["10.9.0.7", "fd09::7"]);
    const [first, second] = fixture.calls().filter(({ command }) => command === "ADD");
    assert.ok(first && second);
    assert.deepEqual(
      { ...first, path: "", input: undefined },
      {
        type: "first",
        command: "ADD",
        containerId: "pod1",
        netns: request.netnsPath,
        ifName: "eth0",
        args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=pod1;K8S_POD_UID=u1",
        path: "",
        input: undefined,
      },
    );
    assert.equal(first.path, `${fixture.directory}/no-such-directory:${fixture.pluginDirectory}`);
    assert.deepEqual(first.input, { type: "first", key: "value", name: "net-a", cniVersion: "1.1.0" });
    assert.deepEqual(second.input, {
      type: "second",
      name: "net-a",
      cniVersion: "1.1.0",
      prevResult: RESULT,
      runtimeConfig: {
        portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp", hostIP: "" }],
        dns,
      },
    });
    const path = join(fixture.cacheDirectory, "results/net-a-pod1-eth0");
    const cached = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    assert.equal(cached["kind"], "cniCacheV1");
    assert.deepEqual(cached["result"], RESULT);
    assert.equal(
      Buffer.from(String(cached["config"]), "base64").toString(),
      JSON.stringify(fixture.list({ "cni.dev/own": 1 })),
    );
    assert.deepEqual(
      [cached["containerId"], cached["ifName"], cached["networkName"]],
      ["pod1", "eth0", "net-a"],
    );
    assert.deepEqual((cached["cniArgs"] as string[][])[2], ["K8S_POD_NAME", "web"]);
  });

  test("DEL runs in reverse with the configuration and the result of the ADD, once", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    const network = await started(fixture.network());
    const request = fixture.request("pod1", { portMappings: ports });
    const { state } = await network.setup(request, never);
    fixture.takeCalls();
    fixture.conf("10-a.conflist", { cniVersion: "1.1.0", name: "net-b", plugins: [{ type: "first" }] });
    await network.teardown({ ...request, portMappings: [] }, state, never);
    const dels = fixture.calls().filter(({ command }) => command === "DEL");
    assert.deepEqual(
      dels.map(({ type }) => type),
      ["second", "first"],
    );
    for (const { input } of dels) assert.deepEqual([input["name"], input["prevResult"]], ["net-a", RESULT]);
    assert.ok(dels[0]?.input["runtimeConfig"], "with the port mappings of the ADD");
    assert.deepEqual(readdirSync(join(fixture.cacheDirectory, "results")), []);
    assert.equal(fixture.records.size, 0);
    fixture.takeCalls();
    await network.teardown(request, state, never);
    await network.teardown(fixture.request("never-seen"), undefined, never);
    assert.deepEqual(fixture.takeCalls(), []);
  });

  test("DEL works without the namespace, the configuration and the cached result", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    const network = await started(fixture.network());
    await network.setup(fixture.request("pod1"), never);
    rmSync(fixture.cacheDirectory, { recursive: true });
    rmSync(fixture.confDirectory, { recursive: true });
    const record = fixture.records.get("pod1");
    for (const attachment of record?.attachments ?? []) attachment.netnsPath = "/nonexistent/net";
    fixture.takeCalls();
    await network.teardown(fixture.request("pod1"), undefined, never);
    const dels = fixture.calls().filter(({ command }) => command === "DEL");
    assert.deepEqual(
      dels.map(({ type, netns, input }) => [type, netns, input["prevResult"]]),
      [
        ["second", "", undefined],
        ["first", "", undefined],
      ],
    );
  });

  test("a failed plugin is told with all it said, and everything is undone", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    fixture.does(
      "second",
      "ADD",
      `echo '{"cniVersion":"1.1.0","code":7,"msg":"no such chain","details":"table nat"}'; exit 1`,
    );
    const network = await started(fixture.network());
    await assert.rejects(network.setup(fixture.request("pod1"), never), {
      kind: "failed-precondition",
      message:
        'network of pod sandbox "pod1": CNI network "net-a": CNI plugin "second": ADD failed: no such chain: table nat (code 7)',
    });
    assert.deepEqual(fixture.takeCalls(), ["first ADD", "second ADD", "second DEL", "first DEL"]);
    assert.equal(fixture.records.size, 0);
    fixture.does("second", "ADD", `echo 'it is late' > /dev/stderr; exit 3`);
    await assert.rejects(
      network.setup(fixture.request("pod2"), never),
      /"second": ADD failed: it is late \(exit code 3\)/,
    );
    fixture.does("second", "ADD", `kill -SEGV $$`);
    await assert.rejects(network.setup(fixture.request("pod3"), never), /"second": ADD failed: SIGSEGV/);
    fixture.does("second", "ADD", `echo 'OK'; exit 0`);
    await assert.rejects(
      network.setup(fixture.request("pod4"), never),
      /"second": ADD: its result is not JSON/,
    );
    fixture.does("second", "ADD", `exit 0`);
    await assert.rejects(network.setup(fixture.request("pod5"), never), {
      kind: "unavailable",
      message: /"second": ADD printed no result/,
    });
    assert.equal(fixture.records.size, 0);
  });

  test("a plugin that hangs is killed with its children, by the call's signal and by its time", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    const mark = `87${process.pid % 10_000}`;
    fixture.does("first", "ADD", `sleep ${mark} & sleep ${mark}`);
    const network = await started(fixture.network());
    const client = new AbortController();
    const call = network.setup(fixture.request("pod1"), client.signal);
    await until(() => fixture.calls().some(({ command }) => command === "ADD"));
    client.abort(new DOMException("the client left", "AbortError"));
    await assert.rejects(call, { kind: "cancelled" });
    const limited = await started(fixture.network({ pluginTimeoutMs: 2000 }));
    await assert.rejects(limited.setup(fixture.request("pod2"), never), { kind: "deadline-exceeded" });
    await until(() => spawnSync("pgrep", ["-f", `^sleep ${mark}`]).status !== 0);
    assert.equal(fixture.records.size, 0);
    assert.deepEqual(fixture.takeCalls(), [
      "first ADD",
      "second DEL",
      "first DEL",
      "first ADD",
      "second DEL",
      "first DEL",
    ]);
  });

  test("what a plugin prints without end is bounded", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    fixture.does("first", "ADD", `yes | head -c 9000000 >&2; yes`);
    const network = await started(fixture.network());
    await assert.rejects(network.setup(fixture.request("pod1"), never), { kind: "resource-exhausted" });
  });

  test("a missing plugin is found before any is run", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    rmSync(join(fixture.pluginDirectory, "second"));
    const network = await started(fixture.network());
    assert.match(network.status().message, /CNI plugin "second" is not in .*\/no-such-directory, .*\/bin/);
    fixture.takeCalls();
    await assert.rejects(network.setup(fixture.request("pod1"), never), /CNI plugin "second" is not in/);
    assert.deepEqual(fixture.takeCalls(), []);
  });

  test("a name that would be read as another argument is refused", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    const network = await started(fixture.network());
    const request = fixture.request("pod1", { name: "web;K8S_POD_NAMESPACE=kube-system" });
    await assert.rejects(network.setup(request, never), { kind: "invalid-argument" });
  });

  test("several networks, in the order of the files' names", async () => {
    fixture.conf("20-b.conflist", fixture.list({ name: "net-b" }));
    fixture.conf("10-a.conflist", fixture.list());
    fixture.conf("30-c.conf", { cniVersion: "0.3.1", name: "net-c", type: "first" });
    const network = await started(fixture.network({ maxNetworks: 0 }));
    await network.setup(fixture.request("pod1"), never);
    const adds = fixture.calls().filter(({ command }) => command === "ADD");
    assert.deepEqual(
      adds.map(({ type, ifName, input }) => [type, ifName, input["name"], input["cniVersion"]]),
      [
        ["first", "eth0", "net-a", "1.1.0"],
        ["second", "eth0", "net-a", "1.1.0"],
        ["first", "eth1", "net-b", "1.1.0"],
        ["second", "eth1", "net-b", "1.1.0"],
        ["first", "eth2", "net-c", "0.3.1"],
      ],
    );
    fixture.takeCalls();
    await network.teardown(fixture.request("pod1"), undefined, never);
    assert.deepEqual(fixture.takeCalls(), [
      "first DEL",
      "second DEL",
      "first DEL",
      "second DEL",
      "first DEL",
    ]);
  });
});

describe("the configuration", () => {
  test("is found when its directory appears, and another one is taken at once", async () => {
    rmSync(fixture.confDirectory, { recursive: true });
    const network = await started(fixture.network());
    assert.deepEqual(network.status(), {
      ready: false,
      reason: "NetworkPluginNotReady",
      message: `no CNI configuration in ${fixture.confDirectory}`,
    });
    await assert.rejects(network.setup(fixture.request(), never), { kind: "unavailable" });
    fixture.conf("20-b.conflist", fixture.list({ name: "net-b" }));
    await until(() => network.status().ready);
    fixture.conf("10-a.conflist", fixture.list());
    await until(() => JSON.stringify(network.describe?.()).includes("net-a"));
    rmSync(fixture.confDirectory, { recursive: true });
    await until(() => !network.status().ready);
    mkdirSync(fixture.confDirectory);
    fixture.conf("10-a.conflist", fixture.list());
    await until(() => network.status().ready);
  });

  test("is still watched where its directory has been replaced", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    const network = await started(fixture.network());
    const inForce = (name: string): Promise<void> =>
      until(() => JSON.stringify(network.describe?.()).includes(`"${name}"`));
    // The new one often has the inode of the old.
    for (let n = 0; n < 5; n++) {
      rmSync(fixture.confDirectory, { recursive: true });
      fixture.conf("10-a.conflist", fixture.list({ name: `new-${n}` }));
      await inForce(`new-${n}`);
      fixture.conf("10-a.conflist", fixture.list({ name: `newer-${n}` }));
      await inForce(`newer-${n}`);
    }
  });

  test("that is not valid is named, and is not passed over; what was in force stays", async () => {
    fixture.conf("10-a.conflist", `{ "name": "net-a", `);
    fixture.conf("20-b.conflist", fixture.list({ name: "net-b" }));
    const network = await started(fixture.network());
    assert.match(
      network.status().message,
      /^CNI configuration \/.*\/net\.d\/10-a\.conflist: it is not JSON: /,
    );
    assert.match(String(network.describe?.()["lastCNILoadStatus"]), /10-a\.conflist/);
    fixture.conf("10-a.conflist", fixture.list());
    await until(() => network.status().ready);
    fixture.conf("10-a.conflist", fixture.list({ plugins: [{ type: "../../bin/sh" }] }));
    await until(() =>
      /"..\/..\/bin\/sh" is not the name/.test(String(network.describe?.()["lastCNILoadStatus"])),
    );
    assert.ok(network.status().ready);
  });

  test("may have plugins in a directory of its name", async () => {
    const { name, cniVersion } = { name: "net-a", cniVersion: "1.0.0" };
    mkdirSync(join(fixture.confDirectory, name));
    writeFileSync(
      join(fixture.confDirectory, name, "10.conf"),
      JSON.stringify({ type: "second", more: true }),
    );
    fixture.conf("10-a.conflist", { name, cniVersion, plugins: [{ type: "first" }] });
    const network = await started(fixture.network());
    await network.setup(fixture.request("pod1"), never);
    assert.deepEqual(fixture.takeCalls(), ["first ADD", "second ADD"]);
    rmSync(join(fixture.confDirectory, name), { recursive: true });
    await network.teardown(fixture.request("pod1"), undefined, never);
    assert.deepEqual(fixture.takeCalls(), ["second DEL", "first DEL"]);
  });

  test("of several versions has the highest that its plugins speak", async () => {
    fixture.conf(
      "10-a.conflist",
      fixture.list({ cniVersion: "0.4.0", cniVersions: ["1.0.0", "1.1.0", "9.0.0"] }),
    );
    fixture.does(
      "second",
      "VERSION",
      `echo '{"cniVersion":"1.1.0","supportedVersions":["0.4.0","1.0.0"]}'; exit 0`,
    );
    const network = await started(fixture.network());
    await network.setup(fixture.request("pod1"), never);
    const versions = fixture.calls().filter(({ command }) => command === "ADD");
    assert.deepEqual(
      versions.map(({ input }) => [input["cniVersion"], input["cniVersions"]]),
      [
        ["1.0.0", undefined],
        ["1.0.0", undefined],
      ],
    );
  });

  test("is made from the template, when the kubelet tells the node's addresses", async () => {
    const template = join(fixture.directory, "template");
    writeFileSync(
      template,
      `{"cniVersion":"1.0.0","name":"kubenet","plugins":[{"type":"first","capabilities":{"ipRanges":true},
        "subnet":"{{.PodCIDR}}","ranges":{{.PodCIDRRanges}},"routes":{{ .Routes }}}]}`,
    );
    rmSync(fixture.confDirectory, { recursive: true });
    const network = await started(fixture.network({ confTemplate: template }));
    await network.setPodCidrs?.(["10.5.0.0/24", "fd05::/64"]);
    assert.ok((await until(() => network.status().ready), true));
    await network.setup(fixture.request("pod1"), never);
    const add = fixture.calls().find(({ command }) => command === "ADD");
    const ranges = [[{ subnet: "10.5.0.0/24" }], [{ subnet: "fd05::/64" }]];
    assert.deepEqual(add?.input, {
      type: "first",
      name: "kubenet",
      cniVersion: "1.0.0",
      subnet: "10.5.0.0/24",
      ranges,
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
      runtimeConfig: { ipRanges: ranges },
    });
    await network.setPodCidrs?.(["10.6.0.0/24"]);
    assert.match(readFileSync(join(fixture.confDirectory, "10-gantry-net.conflist"), "utf8"), /10\.6\.0\.0/);
    fixture.conf("05-mine.conflist", fixture.list());
    await network.setPodCidrs?.(["10.7.0.0/24"]);
    assert.doesNotMatch(
      readFileSync(join(fixture.confDirectory, "10-gantry-net.conflist"), "utf8"),
      /10\.7\.0\.0/,
    );
    assert.deepEqual(fixture.podCidrs, ["10.7.0.0/24"]);
  });
});

describe("a starting daemon", () => {
  test("detaches pods that are gone, then has the plugins collect, then checks the others", async () => {
    fixture.conf("10-a.conflist", fixture.list({ disableGC: false }));
    const before = await started(fixture.network());
    for (const id of ["gone", "stays"]) await before.setup(fixture.request(id), never);
    await before.close();
    const foreign = {
      kind: "cniCacheV1",
      containerId: "foreign",
      ifName: "eth0",
      networkName: "net-a",
      config: "",
    };
    writeFileSync(join(fixture.cacheDirectory, "results/net-a-foreign-eth0"), JSON.stringify(foreign));
    writeFileSync(join(fixture.cacheDirectory, "results/net-a-being-written-eth0"), `{"kind":"cniC`);
    fixture.does("second", "CHECK", `echo '{"code":100,"msg":"a rule is missing"}'; exit 1`);
    await until(() => fixture.calls().filter(({ command }) => command === "GC").length === 2);
    fixture.takeCalls();
    const network = await started(fixture.network(), ["stays"]);
    await until(() => fixture.calls().some(({ type, command }) => `${type} ${command}` === "second CHECK"));
    const gc = fixture.calls().find(({ command }) => command === "GC");
    assert.ok(gc);
    const valid = gc.input["cni.dev/valid-attachments"] as { containerID: string }[];
    assert.deepEqual(valid.map(({ containerID }) => containerID).sort(), [
      "being-written",
      "foreign",
      "stays",
    ]);
    assert.deepEqual(fixture.takeCalls(), [
      "second DEL",
      "first DEL",
      "first GC",
      "second GC",
      "first CHECK",
      "second CHECK",
    ]);
    await until(() => JSON.stringify(network.describe?.()).includes("a rule is missing"));
    assert.deepEqual([...fixture.records.keys()], ["stays"]);
  });

  test("asks for neither where the configuration forbids it", async () => {
    fixture.conf("10-a.conflist", fixture.list({ disableGC: true, disableCheck: "true" }));
    const before = await started(fixture.network());
    await before.setup(fixture.request("stays"), never);
    await before.close();
    const network = await started(fixture.network(), ["stays"]);
    await network.close();
    assert.deepEqual(fixture.takeCalls(), ["first ADD", "second ADD"]);
  });

  test("waits for a plugin that the earlier one had started", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    const path = join(fixture.pluginDirectory, "first");
    const environment = { PATH: process.env["PATH"], CNI_CONTAINERID: "pod1", CNI_COMMAND: "ADD" };
    const before = await started(fixture.network());
    await before.setup(fixture.request("pod1"), never);
    await before.close();
    fixture.takeCalls();
    fixture.does("first", "ADD", `sleep 0.5; echo > ${fixture.directory}/ended`);
    spawnSync("sh", ["-c", `${path} </dev/null >/dev/null 2>&1 &`], { env: environment });
    await until(() => fixture.calls().some(({ command }) => command === "ADD"));
    fixture.does("second", "DEL", `[ -e ${fixture.directory}/ended ] || exit 9`);
    await started(fixture.network(), []);
    await until(() => fixture.records.size === 0);
  });
});

describe("a DEL that fails", () => {
  test("is repeated by the caller from where it failed, as nothing is pulled away from under it", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    const network = await started(fixture.network());
    await network.setup(fixture.request("pod1"), never);
    fixture.does("second", "DEL", `echo '{"code":11,"msg":"not now"}'; exit 1`);
    fixture.takeCalls();
    const refused = { kind: "unavailable", message: /"second": DEL failed: not now \(code 11\)/ };
    await assert.rejects(network.teardown(fixture.request("pod1"), undefined, never), refused);
    assert.deepEqual(fixture.takeCalls(), ["second DEL"]);
    fixture.does("second", "DEL", undefined);
    await network.teardown(fixture.request("pod1"), undefined, never);
    assert.deepEqual(fixture.takeCalls(), ["second DEL", "first DEL"]);
  });

  test("after a failed ADD is tried again by itself, and keeps the caller no longer", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    for (const command of ["ADD", "DEL"]) fixture.does("second", command, "exit 1");
    const network = await started(fixture.network({ retryMs: 50 }));
    await assert.rejects(network.setup(fixture.request("pod1"), never), /"second": ADD failed/);
    await network.teardown(fixture.request("pod1"), undefined, never);
    assert.deepEqual([...fixture.records.keys()], ["pod1"]);
    fixture.does("second", "DEL", undefined);
    await until(() => fixture.records.size === 0);
    assert.equal(fixture.takeCalls().at(-1), "first DEL");
  });

  test("of a pod that came to nothing later is tried again when the pod is abandoned", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    const network = await started(fixture.network({ retryMs: 50 }));
    await network.setup(fixture.request("pod1"), never);
    fixture.does("second", "DEL", "exit 1");
    await assert.rejects(network.teardown(fixture.request("pod1"), undefined, never));
    network.abandon?.("pod1");
    network.abandon?.("never-seen");
    fixture.does("second", "DEL", undefined);
    await until(() => fixture.records.size === 0);
  });

  test("at start keeps the daemon from nothing", async () => {
    fixture.conf("10-a.conflist", fixture.list());
    const before = await started(fixture.network());
    await before.setup(fixture.request("gone"), never);
    await before.close();
    fixture.does("second", "DEL", "exit 1");
    const network = await started(fixture.network({ retryMs: 50 }));
    await network.setup(fixture.request("pod2"), never);
    assert.deepEqual([...fixture.records.keys()], ["gone", "pod2"]);
    fixture.does("second", "DEL", undefined);
    await until(() => fixture.records.size === 1);
  });
});

describe("STATUS", () => {
  test("decides whether the network is ready, from version 1.1 on", async () => {
    fixture.does(
      "second",
      "STATUS",
      `echo '{"cniVersion":"1.1.0","code":50,"msg":"no addresses left"}'; exit 1`,
    );
    fixture.conf("10-a.conflist", fixture.list());
    const network = await started(fixture.network());
    assert.match(
      network.status().message,
      /CNI plugin "second": STATUS failed: no addresses left \(code 50\)/,
    );
    assert.equal((await network.setup(fixture.request(), never)).ips.length, 2, "ADD is served all the same");
    fixture.conf("10-a.conflist", fixture.list({ cniVersion: "1.0.0" }));
    await until(() => network.status().ready);
  });
});
