/** Hooks of gantry-oci's containers: all six kinds, where and when they run, what they get, and what their failure does. Needs root. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Hook, Hooks } from "../../src/oci/runtime-spec.ts";
import { ShellBundle } from "./shell-bundle.ts";

type Kind = keyof Hooks;
const KINDS: Kind[] = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
];

const bundle = new ShellBundle();
const record = join(bundle.rootfs, "record");
after(() => bundle.end());
beforeEach(() => rmSync(record, { force: true }));

/** A hook that runs a script with the shell; in the container the root filesystem's one. */
function hook(kind: Kind, script: string, more: Partial<Hook> = {}): Hook {
  const shell = kind === "startContainer" ? "/bin/sh" : join(bundle.rootfs, "bin/sh");
  return { path: shell, args: ["sh", "-c", script], ...more };
}

/** Where a hook of this kind finds the file that all write to. */
const recordFor = (kind: Kind): string => (kind === "startContainer" ? "/record" : record);

const says = (kind: Kind, text: string): Hook => hook(kind, `echo ${text} >> ${recordFor(kind)}`);

function configure(hooks: Hooks, script = "echo command >> /record"): void {
  bundle.script(script, (spec) => {
    spec.root = { path: "rootfs" };
    spec.hooks = hooks;
    spec.annotations = { "example.com/note": "kept" };
  });
}

const lines = (): string[] => (existsSync(record) ? readFileSync(record, "utf8").trim().split("\n") : []);

test("run in the order of the lifecycle and of their lists", async () => {
  const hooks = Object.fromEntries(
    KINDS.map((kind) => [kind, [says(kind, `${kind}1`), says(kind, `${kind}2`)]]),
  ) as Hooks;
  configure(hooks);
  assert.equal(bundle.create("order").code, 0, bundle.output("order", "err"));
  const created = ["prestart", "createRuntime", "createContainer"].flatMap((kind) => [
    `${kind}1`,
    `${kind}2`,
  ]);
  assert.deepEqual(lines(), created);
  assert.equal(bundle.oci(["start", "order"]).code, 0);
  await bundle.becomes("order", "stopped");
  const started = [...created, "startContainer1", "startContainer2"];
  // The command runs beside the hooks after it.
  assert.deepEqual(lines().slice(0, 8), started);
  assert.deepEqual(lines().slice(8).toSorted(), ["command", "poststart1", "poststart2"]);
  assert.equal(bundle.oci(["delete", "order"]).code, 0);
  assert.deepEqual(lines().slice(11), ["poststop1", "poststop2"]);
});

test("get their arguments, their environment alone, and the state, in the namespaces that are theirs", async () => {
  const look = (kind: Kind): Hook =>
    hook(
      kind,
      `{ echo ${kind} $0 $1 $ONLY \${HOME-none}; cat; echo; /bin/busybox readlink /proc/self/ns/mnt; /bin/busybox readlink /proc/self/ns/uts; pwd; } >> ${recordFor(kind)}`,
      { env: ["ONLY=this"] },
    );
  const hooks = Object.fromEntries(
    KINDS.map((kind) => {
      const one = look(kind);
      return [kind, [{ ...one, args: [...(one.args ?? []), "zero", "one"] }]];
    }),
  ) as Hooks;
  configure(hooks, "readlink /proc/self/ns/mnt /proc/self/ns/uts > /command; sleep 300");
  assert.equal(bundle.create("look").code, 0, bundle.output("look", "err"));
  const { pid } = bundle.state("look");
  const own = { mnt: readlinkSync(`/proc/${pid}/ns/mnt`), uts: readlinkSync(`/proc/${pid}/ns/uts`) };
  const ours = { mnt: readlinkSync("/proc/self/ns/mnt"), uts: readlinkSync("/proc/self/ns/uts") };
  assert.equal(bundle.oci(["start", "look"]).code, 0);
  assert.equal(bundle.oci(["delete", "--force", "look"]).code, 0);
  const text = lines();
  const status = { prestart: "created", poststart: "running", poststop: "stopped" };
  for (const [index, kind] of KINDS.entries()) {
    const [said, json = "", mnt, uts, directory] = text.slice(index * 5);
    assert.equal(said, `${kind} zero one this none`);
    const inside = kind === "createContainer" || kind === "startContainer";
    assert.deepEqual({ mnt, uts }, inside ? own : ours, kind);
    assert.equal(directory, kind === "startContainer" ? "/" : bundle.bundle, kind);
    const state = JSON.parse(json) as Record<string, unknown>;
    assert.deepEqual([state["id"], state["bundle"]], ["look", bundle.bundle]);
    assert.deepEqual(state["annotations"], { "example.com/note": "kept" });
    assert.equal(state["status"], { ...status }[kind as "prestart"] ?? "created", kind);
    assert.equal(state["pid"], kind === "poststop" ? 0 : inside ? 1 : pid, kind);
  }
});

test("a failing hook of the creation ends it: nothing is left, and the poststop hooks have run", () => {
  for (const kind of ["prestart", "createRuntime", "createContainer"] as const) {
    rmSync(record, { force: true });
    configure({
      [kind]: [hook(kind, "exit 3"), says(kind, "never")],
      poststop: [hook("poststop", "exit 4"), says("poststop", "last")],
    });
    const { code, err } = bundle.create("failing");
    assert.equal(code, 1);
    assert.match(err, /hook .*\/bin\/sh: exit status 3/, kind);
    assert.match(err, /level=warning msg="poststop hook .*exit status 4/);
    assert.deepEqual(lines(), ["last"]);
    assert.deepEqual(bundle.containers(), []);
  }
});

test("a failing startContainer or poststart hook fails the start, and is the container's end", () => {
  for (const [kind, message] of [
    ["startContainer", /startContainer hook \/bin\/sh: exit status 5/],
    ["poststart", /poststart hook .*exit status 5/],
  ] as const) {
    rmSync(record, { force: true });
    const script = kind === "startContainer" ? "echo command >> /record" : "sleep 300";
    configure(
      { [kind]: [hook(kind, "exit 5"), says(kind, "never")], poststop: [says("poststop", "last")] },
      script,
    );
    assert.equal(bundle.create("failing").code, 0, bundle.output("failing", "err"));
    const { code, err } = bundle.oci(["start", "failing"]);
    assert.equal(code, 1);
    assert.match(err, message);
    assert.deepEqual(lines(), ["last"]);
    assert.deepEqual(bundle.containers(), []);
    assert.match(bundle.run("failing").err, message);
    assert.deepEqual(bundle.containers(), []);
  }
});

/** Killed is not gone yet, and a dead one is nobody's but its reaper's. */
async function ends(pid: string): Promise<void> {
  const alive = (): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("301");
    } catch {
      return false;
    }
  };
  for (let turn = 0; turn < 500 && alive(); turn++) await sleep(20);
  assert.ok(!alive(), `process ${pid} goes on`);
}

test("one that takes longer than its timeout is killed with what it has started", async () => {
  const slow = `sleep 301 & echo $! >> ${record}; sleep 302; true`;
  configure({ createRuntime: [hook("createRuntime", slow, { timeout: 1 })] });
  assert.match(bundle.create("slow").err, /hook .*: (connection )?timed out/);
  configure({ poststart: [hook("poststart", slow, { timeout: 1 })] }, "sleep 300");
  assert.equal(bundle.create("slow").code, 0);
  assert.match(bundle.oci(["start", "slow"]).err, /poststart hook .*did not end in 1 s/);
  assert.equal(lines().length, 2);
  for (const pid of lines()) await ends(pid);
  assert.deepEqual(bundle.containers(), []);
});

test("what no hook can be is refused by name", () => {
  const refused = (one: object): string => {
    configure({ prestart: [one as Hook] });
    return bundle.create("wrong").err;
  };
  assert.match(
    refused({ path: "bin/true" }),
    /config\.json: hooks\.prestart\.0\.path: Expected an absolute path/,
  );
  assert.match(refused({ path: "/bin/true", timeout: 0 }), /hooks\.prestart\.0\.timeout/);
  assert.match(refused({ path: "/nowhere/at/all" }), /hook \/nowhere\/at\/all: .*no such file/);
  assert.deepEqual(bundle.containers(), []);
});
