/**
 * Configurations that are larger than what a length can say: nothing is cut off, no namespace is lost on the way
 * (CVE-2021-43784), and a plan or a frame that no compiler of ours wrote is refused whatever is in it.
 */
import assert from "node:assert/strict";
import { readlinkSync } from "node:fs";
import { test } from "node:test";
import type { Spec } from "../../src/oci/runtime-spec.ts";
import { GantryOci } from "./way-gantry-oci.ts";
import { bothWays } from "./way.ts";

const TYPES = ["pid", "net", "ipc", "uts", "mnt"] as const;
const LINKS = `for t in ${TYPES.join(" ")}; do readlink /proc/self/ns/$t; done`;
const host = TYPES.map((type) => readlinkSync(`/proc/self/ns/${type}`));

bothWays((way) => {
  test("a mount path of 70 kB is refused, as is one with a part that no filesystem has (CVE-2021-43784)", async () => {
    for (const containerPath of [`/${"a/".repeat(35_000)}b`, `/${"a".repeat(300)}`]) {
      const { refused } = await way().run({
        command: LINKS,
        mounts: [{ hostPath: "/tmp", containerPath }],
      });
      assert.match(refused ?? "", /ENAMETOOLONG|too long/);
    }
  });

  test("with 1,500 mounts and 300 kB of names a container has all its namespaces", async () => {
    const name = "n".repeat(200);
    const mounts = Array.from({ length: 1_500 }, (_, index) => ({
      hostPath: "/etc/hostname",
      containerPath: `/tmp/${name}${index}`,
    }));
    const { refused, output } = await way().run({
      command: `${LINKS}; ls /tmp | wc -l; ls /tmp | head -c 205`,
      mounts,
    });
    assert.equal(refused, undefined);
    const lines = output.split("\n");
    const own = way().name === "gantryd" ? TYPES.filter((type) => type !== "net") : TYPES;
    for (const type of own) {
      const index = TYPES.indexOf(type);
      assert.match(lines[index] ?? "", new RegExp(`^${type}:\\[\\d+\\]$`));
      assert.notEqual(lines[index], host[index]);
    }
    assert.equal(lines[TYPES.length], "1500");
  });
});

test("gantry-oci: id maps that the kernel does not take whole are refused, and nothing runs", async () => {
  const way = new GantryOci();
  try {
    for (const count of [341, 5_000]) {
      const { refused, output } = await way.run({ command: LINKS }, (spec: Spec) => {
        const maps = Array.from({ length: count }, (_, index) => ({
          containerID: index,
          hostID: 100_000 + 2 * index,
          size: 1,
        }));
        spec.linux?.namespaces?.push({ type: "user" });
        Object.assign(spec.linux ?? {}, { uidMappings: maps, gidMappings: maps });
      });
      assert.match(refused ?? "", /uid_map|mappings/, output);
    }
  } finally {
    await way.close();
  }
});
