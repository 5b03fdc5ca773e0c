import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { CdiRegistry } from "./cdi-registry.ts";
import { parseCdiDeviceName } from "./cdi-spec.ts";
import type { Spec } from "./runtime-spec.ts";

let root = "";
let registry: CdiRegistry;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "gantry-cdi-"));
  for (const name of ["low", "high"]) mkdirSync(join(root, name));
  registry = new CdiRegistry([join(root, "low"), join(root, "high"), join(root, "missing")]);
});
afterEach(() => rmSync(root, { recursive: true }));

const write = (name: string, content: unknown): void =>
  writeFileSync(join(root, name), typeof content === "string" ? content : JSON.stringify(content));

function file(kind: string, devices: Record<string, object>, containerEdits: object = {}): object {
  const list = Object.entries(devices).map(([name, edits]) => ({ name, containerEdits: edits }));
  return { cdiVersion: "0.6.0", kind, devices: list, containerEdits };
}

const SPEC: Spec = Object.freeze({
  ociVersion: "1.3.0",
  process: Object.freeze({
    user: Object.freeze({ uid: 1000, gid: 100, additionalGids: [7] }),
    cwd: "/",
    args: ["x"],
    env: Object.freeze(["A=1", "B=2"]) as string[],
  }),
  mounts: Object.freeze([
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/data/deep", type: "bind", source: "/srv", options: ["rbind"] },
  ]) as Spec["mounts"] & object,
  linux: { resources: { devices: Object.freeze([{ allow: false, access: "rwm" }]) as never } },
});

test("a device adds what its file says of all devices once, then its own", async () => {
  const all = { env: ["B=all", "SEEN=1"], mounts: [{ hostPath: "/lib", containerPath: "/data" }] };
  const own = {
    env: ["B=own"],
    deviceNodes: [
      { path: "/dev/x", hostPath: "/dev/null", permissions: "r" },
      { path: "/dev/y", type: "c", major: 1, minor: 5, fileMode: 0o600, uid: 0, gid: 3 },
    ],
    additionalGids: [0, 7, 44],
    hooks: [{ hookName: "createContainer", path: "/bin/x", args: ["x", "y"], env: ["H=1"], timeout: 3 }],
  };
  write("low/a.json", file("v.example/gpu", { one: own, two: { env: ["TWO=2"] } }, all));
  const result = await registry.inject(SPEC, ["v.example/gpu=one", "v.example/gpu=two", "v.example/gpu=one"]);
  assert.deepEqual(result.process?.env, ["A=1", "B=own", "SEEN=1", "TWO=2"]);
  assert.deepEqual(result.process?.user.additionalGids, [7, 44]);
  assert.deepEqual(
    result.mounts?.map(({ destination, type, options }) => [destination, type, options]),
    [
      ["/proc", "proc", undefined],
      ["/data", "bind", ["rbind"]],
      ["/data/deep", "bind", ["rbind"]],
    ],
  );
  assert.deepEqual(result.linux?.devices, [
    { type: "c", major: 1, minor: 3, path: "/dev/x", uid: 1000, gid: 100 },
    { type: "c", major: 1, minor: 5, path: "/dev/y", fileMode: 0o600, uid: 0, gid: 3 },
  ]);
  assert.deepEqual(result.linux?.resources?.devices, [
    { allow: false, access: "rwm" },
    { allow: true, type: "c", major: 1, minor: 3, access: "r" },
    { allow: true, type: "c", major: 1, minor: 5, access: "rwm" },
  ]);
  assert.deepEqual(result.hooks, {
    createContainer: [{ path: "/bin/x", args: ["x", "y"], env: ["H=1"], timeout: 3 }],
  });
  assert.equal(await registry.inject(SPEC, []), SPEC);
});

test("YAML is read as JSON is, and a changed, added or removed file counts at once", async () => {
  const name = "v.example/net=0";
  await assert.rejects(registry.inject(SPEC, [name]), { kind: "not-found" });
  write(
    "low/a.yaml",
    "cdiVersion: 1.1.0\nkind: v.example/net\ndevices:\n- name: '0'\n  containerEdits:\n    env: [C=3]\n",
  );
  assert.equal((await registry.inject(SPEC, [name])).process?.env?.at(-1), "C=3");
  write("low/a.yaml", file("v.example/net", { "0": { env: ["C=four"] } }));
  assert.equal((await registry.inject(SPEC, [name])).process?.env?.at(-1), "C=four");
  write("high/b.json", file("v.example/net", { "0": { env: ["C=5"] } }));
  assert.equal((await registry.inject(SPEC, [name])).process?.env?.at(-1), "C=5", "the later directory wins");
  write("high/c.json", file("v.example/net", { "0": {} }));
  await assert.rejects(registry.inject(SPEC, [name]), {
    kind: "failed-precondition",
    message: /in several files: .*high\/b\.json, .*high\/c\.json/,
  });
  rmSync(join(root, "high"), { recursive: true });
  assert.equal((await registry.inject(SPEC, [name])).process?.env?.at(-1), "C=four");
});

test("what is wrong is told with the file's name, and does not keep other files from being used", async () => {
  const good = { one: {} };
  const wrong: [unknown, RegExp][] = [
    ["{", /JSON/],
    [{ ...file("v.example/x", good), cdiVersion: "2.0.0" }, /cdiVersion: Unknown version/],
    [{ ...file("v.example/x", good), cdiVersion: "0.2.0" }, /cdiVersion: Unknown version/],
    [file("noslash", good), /"noslash" is no kind of device/],
    [file("v.example/x", { "-a": {} }), /devices\.0\.name: Malformed device name/],
    [{ ...file("v.example/x", good), more: 1 }, /more/],
    [file("v.example/x", { a: { env: ["novalue"] } }), /env\.0: Expected NAME=VALUE/],
    [file("v.example/x", { a: { hooks: [{ hookName: "never", path: "/x" }] } }), /hookName/],
    [file("v.example/x", { a: { hooks: [{ hookName: "prestart", path: "x" }] } }), /absolute path/],
    [file("v.example/x", { a: { deviceNodes: [{ path: "/dev/x", permissions: "q" }] } }), /permissions/],
    [{ cdiVersion: "0.6.0", kind: "v.example/x", devices: [good, good] }, /devices\.0/],
  ];
  write("low/good.json", file("v.example/good", { one: { env: ["OK=1"] } }));
  for (const [content, message] of wrong) {
    write("low/bad.json", content);
    await assert.rejects(registry.inject(SPEC, ["v.example/x=a"]), (error: Error) => {
      assert.match(error.message, /"v\.example\/x=a" is in no file .*CDI file .*low\/bad\.json/);
      assert.match(error.message, message);
      return true;
    });
    assert.ok((await registry.inject(SPEC, ["v.example/good=one"])).process?.env?.includes("OK=1"));
  }
});

test("what is no file of a bearable size is not read", async () => {
  execFileSync("mkfifo", [join(root, "low/fifo.json")]);
  symlinkSync("/dev/zero", join(root, "low/zero.yaml"));
  write("low/deep.json", "[".repeat(1 << 20) + "]".repeat(1 << 20));
  write("low/large.json", " ".repeat((4 << 20) + 1));
  write("low/large.yaml", "- a\n".repeat((1 << 18) + 1));
  await assert.rejects(registry.inject(SPEC, ["v.example/x=a"]), (error: Error) => {
    for (const name of ["fifo.json: is no regular", "zero.yaml: is no regular", "deep.json"])
      assert.ok(error.message.includes(`low/${name}`), error.message);
    for (const name of ["json", "yaml"])
      assert.match(error.message, new RegExp(`low/large\\.${name}: larger than`));
    return true;
  });
});

test("devices that cannot be given are refused by name", async () => {
  write(
    "low/a.json",
    file("v.example/x", {
      gone: { deviceNodes: [{ path: "/dev/gantry-none" }] },
      file: { deviceNodes: [{ path: "/dev/x", hostPath: "/etc/passwd" }] },
      type: { deviceNodes: [{ path: "/dev/null", type: "b" }] },
      net: { netDevices: [{ hostInterfaceName: "eth9", name: "eth0" }] },
    }),
  );
  for (const [device, message] of [
    ["gone", /"v\.example\/x=gone" of .*a\.json: device node \/dev\/gantry-none: ENOENT/],
    ["file", /\/etc\/passwd is no device/],
    ["type", /\/dev\/null is no device of type b/],
    ["net", /v\.example\/x=net.* netDevices: the pod is in the host's network/],
  ] as const)
    await assert.rejects(registry.inject(SPEC, [`v.example/x=${device}`]), { message });
});

test("network interfaces and the resctrl class become the container's", async () => {
  write(
    "low/a.json",
    file("v.example/x", {
      a: { netDevices: [{ hostInterfaceName: "eth9", name: "net0" }], intelRdt: { closID: "gold" } },
      b: {
        netDevices: [{ hostInterfaceName: "eth8", name: "rdma%d" }],
        intelRdt: { closID: "lead", l3CacheSchema: "L3:0=f", enableCMT: true },
      },
      again: { netDevices: [{ hostInterfaceName: "eth9", name: "net1" }] },
      taken: { netDevices: [{ hostInterfaceName: "eth7", name: "net0" }] },
    }),
  );
  const spec: Spec = { ...SPEC, linux: { ...SPEC.linux, namespaces: [{ type: "network", path: "/net" }] } };
  const { linux } = await registry.inject(spec, ["v.example/x=a", "v.example/x=b"]);
  assert.deepEqual(linux?.netDevices, { eth9: { name: "net0" }, eth8: { name: "rdma%d" } });
  assert.deepEqual(linux?.intelRdt, { closID: "lead", l3CacheSchema: "L3:0=f", enableMonitoring: true });
  for (const other of ["again", "taken"])
    await assert.rejects(registry.inject(spec, ["v.example/x=a", `v.example/x=${other}`]), /in two ways/);
});

test("names of devices", () => {
  assert.deepEqual(parseCdiDeviceName("v.example/gpu=0:1.a"), { kind: "v.example/gpu", device: "0:1.a" });
  for (const name of ["", "a", "v/c", "v/c=", "/c=x", "v/=x", "v/c/d=x", "1v/c=x", "v/c=x-", "v/c=../x"])
    assert.throws(() => parseCdiDeviceName(name), { kind: "invalid-argument" }, name);
});
