import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ContainerMount } from "./container.ts";
import { hostMountSource, mountOf } from "./host-mount.ts";

const MOUNTINFO = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 21 0:5 / /srv rw - tmpfs tmpfs rw
31 30 0:6 / /srv/data rw shared:2 master:1 - tmpfs tmpfs rw
32 21 0:7 / /with\\040space rw master:3 - tmpfs tmpfs rw
33 21 0:8 / /srv rw master:9 - tmpfs tmpfs rw
`;

function mount(hostPath: string, more: Partial<ContainerMount> = {}): ContainerMount {
  return {
    containerPath: "/data",
    hostPath,
    readonly: false,
    selinuxRelabel: false,
    propagation: "private",
    uidMappings: [],
    gidMappings: [],
    recursiveReadOnly: false,
    imageSubPath: "",
    mountOptions: [],
    ...more,
  };
}

test("the mount of a path is the deepest one above it, and of several the last", () => {
  const fields = (path: string): string[] | undefined => mountOf(path, MOUNTINFO)?.fields;
  assert.deepEqual(fields("/"), ["shared:1"]);
  assert.deepEqual(fields("/srvx"), ["shared:1"]);
  assert.deepEqual(fields("/srv"), ["master:9"]);
  assert.deepEqual(fields("/srv/data/x"), ["shared:2", "master:1"]);
  assert.deepEqual(fields("/with space/x"), ["master:3"]);
});

test("host paths: links followed, missing ones told, procfs alone on /proc", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-host-mount-"));
  t.after(() => rmSync(directory, { recursive: true }));
  symlinkSync(directory, join(directory, "link"));
  assert.equal(await hostMountSource(mount(join(directory, "link"))), directory);
  const missing = mount(join(directory, "missing"));
  await assert.rejects(hostMountSource(missing), { kind: "not-found", message: /missing" does not exist$/ });
  await assert.rejects(hostMountSource(mount(directory, { containerPath: "/proc/" })), /is no procfs/);
  await assert.rejects(hostMountSource(mount("/proc/1", { containerPath: "/proc" })), /is no procfs/);
  assert.equal(await hostMountSource(mount("/proc", { containerPath: "/proc" })), "/proc");
});
