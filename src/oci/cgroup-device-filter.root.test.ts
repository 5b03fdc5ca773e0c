/** The kernel's verdicts on device accesses in a group that has our program. Needs a mounted v2 hierarchy. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { attachDeviceFilter } from "../native/device-filter.ts";
import { deviceFilter } from "./cgroup-device-filter.ts";
import type { DeviceRule } from "./runtime-spec.ts";
import { RESTRICTED_DEVICES } from "./spec-defaults.ts";

const unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].find((root) =>
  existsSync(join(root, "cgroup.controllers")),
);
const skip = unified === undefined ? "no cgroup v2 hierarchy is mounted" : false;
const group = join(unified ?? "", `gantry-test-devices-${process.pid}`);
const directory = mkdtempSync(join(tmpdir(), "gantry-devices-"));
if (!skip) mkdirSync(group);
after(() => {
  if (!skip) rmdirSync(group);
  rmSync(directory, { recursive: true });
});

/** What a shell in the group can do with /dev/null, /dev/zero and a new node. */
function verdicts(rules: readonly DeviceRule[]): string {
  attachDeviceFilter(group, deviceFilter(rules));
  const script = `echo $$ > ${group}/cgroup.procs
    (: < /dev/null) 2>&- && printf r; (: >> /dev/null) 2>&- && printf w; (: <> /dev/null) 2>&- && printf b
    (: < /dev/zero) 2>&- && printf R
    mknod ${directory}/node c 1 7 2>&- && { printf m; (: < ${directory}/node) 2>&- && printf n; rm ${directory}/node; }
    echo 0 > /dev/stdout`;
  return spawnSync("/bin/sh", ["-c", script], { encoding: "utf8" }).stdout.replace(/0?\n$/, "");
}

test("each rule decides what it covers, the last first", { skip }, () => {
  assert.equal(verdicts([]), "");
  assert.equal(verdicts([{ allow: true, access: "rwm" }]), "rwbRmn");
  assert.equal(verdicts([...RESTRICTED_DEVICES]), "rwbRmn");
  assert.equal(verdicts([{ allow: true, type: "c", major: 1, minor: 3, access: "r" }]), "r");
  assert.equal(verdicts([{ allow: true, type: "c", major: 1, minor: 3, access: "rw" }]), "rwb");
  assert.equal(verdicts([{ allow: true, type: "c", major: 1, access: "rm" }]), "rRmn");
  assert.equal(verdicts([{ allow: true, type: "b", access: "rwm" }]), "");
  assert.equal(
    verdicts([
      { allow: true, access: "rwm" },
      { allow: false, type: "c", major: 1, minor: 3, access: "w" },
    ]),
    "rRmn",
  );
  assert.equal(verdicts([{ allow: true, type: "c", access: "m" }]), "m");
});
