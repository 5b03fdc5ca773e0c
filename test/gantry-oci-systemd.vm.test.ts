/** gantry-oci with --systemd-cgroup, through the systemd of this host: in the virtual machine. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Spec } from "../src/oci/runtime-spec.ts";

const project = join(import.meta.dirname, "..");
const base = mkdtempSync(join(tmpdir(), "gantry-oci-systemd-"));
const root = join(base, "state");
const bundle = join(base, "bundle");
const name = `gantryocitest${process.pid}`;
const slice = `${name}.slice`;
after(() => {
  for (const id of ["one", "two"]) oci(["delete", "-f", id]);
  spawnSync("systemctl", ["stop", slice]);
  rmSync(base, { recursive: true, force: true });
});

/** Output goes to files: a container that runs on keeps what it was given. */
function oci(args: string[]): { status: number | null; out: string; err: string } {
  const words = ["--root", root, "--systemd-cgroup", ...args];
  const files = [join(base, "out"), join(base, "err")];
  const [out = -1, err = -1] = files.map((path) => openSync(path, "w"));
  const { status } = spawnSync(join(project, "bin/gantry-oci"), words, { stdio: ["ignore", out, err] });
  closeSync(out);
  closeSync(err);
  const [outText = "", errText = ""] = files.map((path) => readFileSync(path, "utf8"));
  return { status, out: outText, err: errText };
}
function ok(args: string[]): string {
  const { status, out, err } = oci(args);
  assert.equal(status, 0, `${args.join(" ")}: ${err}`);
  return out;
}
const show = (unit: string, property: string): string =>
  execFileSync("systemctl", ["show", "-P", property, unit], { encoding: "utf8" }).trim();

function configure(cgroupsPath: string | undefined, args: string[]): void {
  const rootfs = join(bundle, "rootfs");
  if (!existsSync(rootfs)) {
    for (const directory of ["bin", "proc", "sys", "dev"])
      mkdirSync(join(rootfs, directory), { recursive: true });
    cpSync("/bin/busybox", join(rootfs, "bin/busybox"));
  }
  rmSync(join(bundle, "config.json"), { force: true });
  ok(["spec", "-b", bundle]);
  const spec = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as Spec;
  Object.assign(spec.process ?? {}, { args: ["/bin/busybox", ...args], terminal: false });
  spec.linux = {
    ...spec.linux,
    ...(cgroupsPath !== undefined && { cgroupsPath }),
    resources: { ...spec.linux?.resources, memory: { limit: 64 << 20 }, pids: { limit: 30 } },
  };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
}

test("a container's scope has its limits, is seen by all commands, and goes with it", () => {
  configure(`${slice}:prefix:one`, ["sleep", "1000"]);
  const unit = "prefix-one.scope";
  ok(["run", "-d", "-b", bundle, "one"]);
  const { pid } = JSON.parse(ok(["state", "one"])) as { pid: number };
  assert.match(readFileSync(`/proc/${pid}/cgroup`, "utf8"), new RegExp(`^0::/${slice}/${unit}$`, "m"));
  assert.equal(show(unit, "MemoryMax"), String(64 << 20));
  assert.equal(show(unit, "TasksMax"), "30");
  assert.equal(show(unit, "TasksCurrent"), "1");
  const self = ok(["exec", "one", "/bin/busybox", "cat", "/proc/self/cgroup"]);
  // Seen from the container's own cgroup namespace.
  assert.match(self, /^0::\/$/m);
  assert.deepEqual(JSON.parse(ok(["ps", "-f", "json", "one"])), [pid]);
  ok(["update", "--memory", "128m", "--memory-swap", "128m", "--pids-limit", "40", "one"]);
  assert.equal(show(unit, "MemoryMax"), String(128 << 20));
  assert.equal(show(unit, "TasksMax"), "40");
  execFileSync("systemctl", ["daemon-reload"]);
  const directory = `/sys/fs/cgroup/${slice}/${unit}`;
  assert.equal(readFileSync(join(directory, "memory.max"), "utf8").trim(), String(128 << 20));
  assert.equal(readFileSync(join(directory, "pids.max"), "utf8").trim(), "40");
  ok(["pause", "one"]);
  assert.match(ok(["state", "one"]), /"paused"/);
  ok(["resume", "one"]);
  const stats = JSON.parse(ok(["events", "--stats", "one"])) as { data: { pids: { current: number } } };
  assert.equal(stats.data.pids.current, 1);
  ok(["kill", "one", "KILL"]);
  while (!ok(["state", "one"]).includes('"stopped"'));
  ok(["delete", "one"]);
  assert.equal(show(unit, "LoadState"), "not-found");
  assert.ok(!existsSync(directory));
});

test("without a path the scope is in system.slice; a path of directories is refused; failures leave no unit", () => {
  configure(undefined, ["true"]);
  ok(["run", "-b", bundle, "two"]);
  assert.equal(show("gantry-oci-two.scope", "LoadState"), "not-found");
  configure("/some/path", ["true"]);
  assert.match(oci(["run", "-b", bundle, "two"]).err, /slice:prefix:name/);
  configure(`${slice}:prefix:two`, ["true"]);
  const spec = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as Spec;
  Object.assign(spec.process ?? {}, { args: ["/no/such/command"] });
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  assert.equal(oci(["run", "-b", bundle, "two"]).status, 1);
  assert.equal(show("prefix-two.scope", "LoadState"), "not-found");
});
