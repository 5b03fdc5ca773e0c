/**
 * createContainer hooks of a container with a user namespace, beside the real runc's: they run in the container's
 * namespaces with the host's files around them, as the root of the user namespace, who reads no more of them than any
 * stranger may. Needs root.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { exampleSpec } from "../src/oci/command/spec.ts";
import { createCgroupManager } from "../src/oci/cgroup-manager.ts";
import { EXECUTOR_PROGRAM } from "./harness/executor-program.ts";

const base = mkdtempSync(join(tmpdir(), "gantry-oci-hooks-"));
const cgroupParent = `/gantry-oci-hooks-${process.pid}`;
process.env["NODE_COMPILE_CACHE"] = join(base, "compiled");
const GANTRY = [process.execPath, EXECUTOR_PROGRAM];
const MAPPING = [{ containerID: 0, hostID: 200_000, size: 65_536 }];
/** What a hook has, a line each, and what it may read. */
const LOOK = `busybox id -u; busybox id -g; busybox id -G; busybox grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status
busybox cat /proc/self/uid_map; busybox cat "$1/open/text"; busybox cat "$1/closed/text" || echo closed`;

after(async () => {
  await createCgroupManager().load(cgroupParent).remove(AbortSignal.timeout(10_000));
  rmSync(base, { recursive: true });
});

/** What the hook said in a container of this runtime. */
function hookOf(runtime: string[], name: string): string {
  const bundle = join(base, name);
  for (const directory of ["bin", "proc", "dev", "sys"])
    mkdirSync(join(bundle, "rootfs", directory), { recursive: true });
  copyFileSync("/usr/bin/busybox", join(bundle, "rootfs/bin/busybox"));
  symlinkSync("busybox", join(bundle, "rootfs/bin/true"));
  const out = join(bundle, "out");
  writeFileSync(out, "");
  chmodSync(out, 0o666);
  const spec = structuredClone(exampleSpec());
  spec.ociVersion = "1.0.2";
  Object.assign(spec.process ?? {}, { terminal: false, args: ["true"] });
  Object.assign(spec.linux ?? {}, { cgroupsPath: `${cgroupParent}/${name}`, uidMappings: MAPPING });
  Object.assign(spec.linux ?? {}, { gidMappings: MAPPING });
  spec.linux?.namespaces?.push({ type: "user" });
  const script = `PATH=/usr/bin:/bin; { ${LOOK}; } > ${out} 2>&1`;
  spec.hooks = { createContainer: [{ path: "/bin/sh", args: ["sh", "-c", script, "sh", base] }] };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  const [program = "", ...first] = runtime;
  const args = [...first, "--root", join(base, `root-${name}`), "run", "-b", bundle, `hooks-${name}`];
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8", input: "" });
  assert.equal(status, 0, `${name}: ${stderr}${readFileSync(out, "utf8")}`);
  return readFileSync(out, "utf8");
}

test("they have the power of the container's root, as with runc, and cannot read what is closed to it", () => {
  chmodSync(base, 0o711);
  for (const [name, mode] of [
    ["open", 0o755],
    ["closed", 0o700],
  ] as const) {
    mkdirSync(join(base, name));
    writeFileSync(join(base, name, "text"), `${name} text\n`);
    chmodSync(join(base, name), mode);
  }
  const own = hookOf(GANTRY, "gantry");
  assert.match(own, /^0\n0\n0\n/);
  assert.match(own, /\n +0 +200000 +65536\nopen text\n.*Permission denied\nclosed\n$/);
  assert.equal(own, hookOf(["runc"], "runc"));
});
