/** AppArmor profiles of gantry-oci's containers and of what is executed in them, in a kernel that has it. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { succeed } from "./harness/installed.ts";
import { OciBundle } from "./harness/oci-bundle.ts";

const OWN = `gantry-oci-own-${process.pid}`;
const OTHER = `gantry-oci-other-${process.pid}`;
const NOT_LOADED = `gantry-oci-none-${process.pid}`;
/** Node gives a child sockets for its streams. */
const POLICY = `
profile ${OWN} flags=(attach_disconnected) {
  file, capability, signal, network, unix,
  deny /own-must-not r,
}
profile ${OTHER} flags=(attach_disconnected) {
  file, capability, signal, network, unix,
  deny /other-must-not r,
}
`;
const CURRENT = ["cat", "/proc/self/attr/current"];

const bundle = new OciBundle();
const readable = (path: string): string[] => ["sh", "-c", `cat ${path} >/dev/null && echo yes`];

before(async () => {
  for (const name of ["own-must-not", "other-must-not"]) writeFileSync(join(bundle.rootfs, name), "");
  const policy = join(bundle.base, "policy");
  writeFileSync(policy, POLICY);
  await succeed("apparmor_parser", "-K", "-r", policy);
});
after(async () => {
  await bundle.end();
  for (const name of [OWN, OTHER]) writeFileSync("/sys/kernel/security/apparmor/.remove", name);
});

/** What a further process of the container says. */
function exec(id: string, options: string[], command: string[]): string {
  const { code, out, err } = bundle.oci(["exec", ...options, id, ...command]);
  assert.equal(code, 0, err);
  return out.trim();
}

for (const noNewPrivileges of [true, false])
  test(`run: the process is under the profile of its configuration, no_new_privs ${noNewPrivileges}`, () => {
    bundle.configure(CURRENT, { apparmorProfile: OWN, noNewPrivileges });
    assert.deepEqual(bundle.run("says"), { code: 0, out: `${OWN} (enforce)\n`, err: "" });
    bundle.configure(readable("/own-must-not"), { apparmorProfile: OWN, noNewPrivileges });
    const denied = bundle.run("reads");
    assert.notEqual(denied.code, 0);
    assert.match(denied.err, /\/own-must-not.*denied/);
    bundle.configure(readable("/other-must-not"), { apparmorProfile: OWN, noNewPrivileges });
    assert.equal(bundle.run("reads-other").out, "yes\n");
  });

test("exec: the container's profile, another by --apparmor or a process file, and what each denies", () => {
  bundle.configure(["sleep", "100000"], { apparmorProfile: OWN });
  assert.equal(bundle.detached(["run", "-d", "-b", bundle.bundle, "long"]), 0, bundle.log());
  assert.equal(exec("long", [], CURRENT), `${OWN} (enforce)`);
  assert.equal(exec("long", ["--apparmor", OTHER], CURRENT), `${OTHER} (enforce)`);
  assert.equal(exec("long", ["--apparmor", OTHER], readable("/own-must-not")), "yes");
  const denied = bundle.oci(["exec", "--apparmor", OTHER, "long", ...readable("/other-must-not")]);
  assert.notEqual(denied.code, 0);
  assert.match(denied.err, /\/other-must-not.*denied/);
  const file = join(bundle.base, "process.json");
  const process = { user: { uid: 0, gid: 0 }, cwd: "/", env: ["PATH=/bin"], args: CURRENT };
  writeFileSync(file, JSON.stringify({ ...process, apparmorProfile: OTHER }));
  assert.equal(exec("long", ["--process", file], []), `${OTHER} (enforce)`);
  assert.equal(exec("long", ["--apparmor", "unconfined"], CURRENT), "unconfined");
  const refused = bundle.oci(["exec", "--apparmor", NOT_LOADED, "long", "true"]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.err, new RegExp(`${NOT_LOADED}.*no such profile is loaded`));
  // A container that says nothing is under what gantry-oci itself is under.
  bundle.configure(["sleep", "100000"]);
  assert.equal(bundle.detached(["run", "-d", "-b", bundle.bundle, "silent"]), 0, bundle.log());
  assert.equal(exec("silent", [], CURRENT), "unconfined");
  assert.equal(exec("silent", ["--apparmor", OWN], CURRENT), `${OWN} (enforce)`);
});

test("run with a profile that is not loaded says which, and leaves nothing", () => {
  bundle.configure(CURRENT, { apparmorProfile: NOT_LOADED });
  const { code, out, err } = bundle.run("unknown");
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, new RegExp(`process.apparmorProfile ${NOT_LOADED}.*no such profile is loaded`));
  assert.ok(!bundle.containers().includes("unknown"));
});
