import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger } from "../base/logger.ts";
import { AppArmor } from "../oci/apparmor.ts";
import { apparmorChoice } from "./apparmor-choice.ts";
import { type ContainerSecurity, NO_SECURITY } from "./container.ts";

let root = "";
let profiles = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "gantry-apparmor-"));
  mkdirSync(join(root, "module/apparmor/parameters"), { recursive: true });
  mkdirSync(join(root, "kernel/security/apparmor"), { recursive: true });
  writeFileSync(join(root, "module/apparmor/parameters/enabled"), "Y\n");
  profiles = join(root, "kernel/security/apparmor/profiles");
  writeFileSync(profiles, "mine (enforce)\nwith (paren) (complain)\n");
});
afterEach(() => rmSync(root, { recursive: true }));

/** Does what the real one does to the kernel's list, as a shell script. */
function parser(
  script = `cat > ${root}/policy; echo 'gantry-default (enforce)' >> ${profiles}; echo x >> ${root}/ran`,
) {
  const path = join(root, "parser");
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}

const choose = (
  security: Partial<ContainerSecurity>,
  apparmor = new AppArmor({ sysfs: root, parsers: [join(root, "none"), join(root, "parser")] }),
): Promise<string | undefined> =>
  apparmorChoice({ apparmor, log: silentLogger }, { ...NO_SECURITY, ...security });

const localhost = (localhostRef: string): Partial<ContainerSecurity> => ({
  apparmor: { kind: "localhost", localhostRef },
});
const runtimeDefault = { apparmor: { kind: "runtime-default", localhostRef: "" } } as const;

test("a named profile must be loaded, with or without the old prefix", async () => {
  assert.equal(await choose(localhost("mine")), "mine");
  assert.equal(await choose(localhost("localhost/mine")), "mine");
  assert.equal(await choose(localhost("with (paren)")), "with (paren)");
  await assert.rejects(choose(localhost("localhost/other")), {
    kind: "not-found",
    message: `AppArmor profile "other" is not loaded`,
  });
});

test("the default profile is loaded once, by whoever needs it first", async () => {
  parser();
  const apparmor = new AppArmor({ sysfs: root, parsers: [join(root, "parser")] });
  const all = await Promise.all([choose({}, apparmor), choose(runtimeDefault, apparmor)]);
  assert.deepEqual(all, ["gantry-default", "gantry-default"]);
  assert.equal(await choose({}, apparmor), "gantry-default");
  assert.equal(readFileSync(join(root, "ran"), "utf8"), "x\n");
  assert.match(readFileSync(join(root, "policy"), "utf8"), /^profile gantry-default [^]*deny mount,[^]*}\n$/);
});

test("where it cannot be loaded, who asks for it is refused, and who does not is unconfined", async () => {
  await assert.rejects(choose(runtimeDefault), /there is no apparmor_parser to load it/);
  assert.equal(await choose({}), undefined);
  parser("echo 'syntax error' >&2; exit 1");
  await assert.rejects(choose(runtimeDefault), /load AppArmor profile gantry-default: syntax error/);
});

test("unconfined and privileged containers have none", async () => {
  parser();
  assert.equal(await choose({ apparmor: { kind: "unconfined", localhostRef: "" } }), undefined);
  assert.equal(await choose({ privileged: true, ...localhost("mine") }), undefined);
  assert.ok(!existsSync(join(root, "ran")));
});

test("on a kernel without AppArmor only a named profile is missed", async () => {
  for (const content of ["N\n", undefined]) {
    const enabled = join(root, "module/apparmor/parameters/enabled");
    rmSync(enabled);
    if (content !== undefined) writeFileSync(enabled, content);
    else rmSync(join(root, "kernel"), { recursive: true });
    assert.equal(await choose({}), undefined);
    assert.equal(await choose(runtimeDefault), undefined);
    await assert.rejects(choose(localhost("mine")), {
      kind: "failed-precondition",
      message: `AppArmor profile "mine": this host has no AppArmor`,
    });
  }
});
