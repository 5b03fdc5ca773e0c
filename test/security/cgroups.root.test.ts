/**
 * Control groups as a container sees them: its own, and nothing that can be written, with a cgroup namespace and without
 * (CVE-2023-25809); none of the hierarchies can be mounted anew for their release agents (CVE-2022-0492).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createCgroupManager } from "../../src/oci/cgroup-manager.ts";
import type { Spec } from "../../src/oci/runtime-spec.ts";
import { GantryOci } from "./way-gantry-oci.ts";
import { bothWays } from "./way.ts";

const { version } = createCgroupManager();

/** Every file that a process or a program could be put into, and one of each hierarchy that any group has. */
const WRITE = `
  for file in $(find /sys/fs/cgroup/ -name cgroup.procs -o -name tasks -o -name release_agent -o -name notify_on_release); do
    (echo 0 > $file) 2>&1 | grep -v 'Read-only file system'
  done
  (mkdir /sys/fs/cgroup/unified/x /sys/fs/cgroup/pids/x /sys/fs/cgroup/x) 2>&1 | grep -v 'Read-only\\|No such file'
  find /sys/fs/cgroup/ -name cgroup.procs | grep -c .
  find /sys/fs/cgroup/ -mindepth 2 -type d | grep -c .`;

/**
 * Nothing but the two counts: there are groups, and none has another one in it. cgroup v2 without a namespace shows the
 * whole hierarchy, as runc does.
 */
function assertReadOnly(output: string, namespace = true): void {
  const lines = output.trim().split("\n");
  assert.equal(lines.length, 2, output);
  assert.ok(Number(lines[0]) > 0, output);
  assert.equal(Number(lines[1]) > 0, version === "v2" && !namespace, output);
}

bothWays((way) => {
  test("no group can be entered, made or given a release agent (CVE-2023-25809)", async () => {
    const { refused, output } = await way().run({ command: WRITE, capabilities: ["SYS_ADMIN"] });
    assert.equal(refused, undefined);
    assertReadOnly(output);
  });

  test("a user namespace of the container's own mounts no hierarchy (CVE-2022-0492)", async () => {
    const { output } = await way().run({
      seccomp: true,
      command: `
        unshare -UrmC sh -c 'mount -t cgroup -o rdma none /tmp && echo mounted' 2>&1 | grep -c mounted
        mount -t cgroup -o memory none /tmp 2>/dev/null && echo mounted; echo done`,
    });
    assert.doesNotMatch(output, /^mounted|^1$/m);
    assert.match(output, /^done$/m);
  });
});

test("gantry-oci: without a cgroup namespace, and in a user namespace, they are as closed (CVE-2023-25809)", async () => {
  const way = new GantryOci();
  const mapping = [{ containerID: 0, hostID: 0, size: 65_536 }];
  const without = ({ linux }: Spec): void => {
    if (linux) linux.namespaces = linux.namespaces?.filter(({ type }) => type !== "cgroup") ?? [];
  };
  try {
    const plain = await way.run({ command: WRITE, capabilities: ["SYS_ADMIN"] }, without);
    assert.equal(plain.refused, undefined);
    assertReadOnly(plain.output, false);
    const inUser = await way.run({ command: WRITE, capabilities: ["SYS_ADMIN"] }, (spec) => {
      without(spec);
      spec.linux?.namespaces?.push({ type: "user" });
      Object.assign(spec.linux ?? {}, { uidMappings: mapping, gidMappings: mapping });
    });
    assert.equal(inUser.refused, undefined);
    assertReadOnly(inUser.output);
  } finally {
    await way.close();
  }
});
