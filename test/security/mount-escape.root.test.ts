/**
 * A root filesystem whose links lead mounts, devices and files that the runtime makes out of it.
 * CVE-2019-18837, CVE-2026-41579, CVE-2026-47766, CVE-2024-5154, CVE-2025-24965, CVE-2023-28642, CVE-2019-19921.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bothWays, link } from "./way.ts";

let host: string;
let outside: string;
before(() => {
  host = mkdtempSync(join(tmpdir(), "gantry-host-"));
  outside = join(host, "outside");
  mkdirSync(outside);
  mkdirSync(join(host, "volume"));
  writeFileSync(join(host, "volume/file"), "of the volume\n");
});
after(() => rmSync(host, { recursive: true }));

const up = "../../../../../../../../../../../..";
/** Every form in which a link may name the directory of the host. */
const forms = (): string[] => [
  outside,
  `${up}${outside}`,
  `/proc/self/root${outside}`,
  `/proc/1/root${outside}`,
];

function assertUntouched(what: string): void {
  assert.deepEqual(readdirSync(outside), [], what);
  assert.equal(statSync(outside).mode & 0o7777, 0o755, what);
}

bothWays((way) => {
  test("links where the runtime mounts and makes files lead into the root (CVE-2019-18837, CVE-2024-5154, CVE-2025-24965)", async () => {
    for (const target of forms()) {
      const { output, refused } = await way().run({
        image: ["volume", "work", "etc"].map((name) => link(name, target)),
        command: `cat /volume/deep/file ${outside}/file`,
        cwd: "/work/made/here",
        mounts: [{ hostPath: join(host, "volume"), containerPath: "/volume/deep" }],
      });
      assertUntouched(target);
      /* A magic link is followed by nobody; an ordinary one as a process in the container would follow it. */
      if (target.startsWith("/proc")) assert.match(refused ?? "", /openat2/);
      else assert.match(output, /^of the volume$/m, refused);
    }
  });

  test("a link at /dev makes no node, link or console of the host's (CVE-2026-41579, CVE-2026-47766)", async () => {
    for (const [target, terminal] of [
      [outside, false],
      [`${up}${outside}`, true],
      [`/proc/self/root${outside}`, false],
    ] as const) {
      const { refused } = await way().run({ image: [link("dev", target)], command: "true", terminal });
      assert.ok(refused, target);
      assertUntouched(target);
    }
  });

  test("neither /proc nor /sys is mounted through a link (CVE-2019-19921, CVE-2023-28642)", async () => {
    for (const [name, target] of [
      ["proc", "/tmp"],
      ["proc", `${up}${outside}`],
      ["sys", "tmp"],
      ["sys", outside],
    ] as const) {
      const { refused } = await way().run({ image: [link(name, target)], command: "true" });
      assert.match(
        refused ?? "",
        new RegExp(`/${name}: openat2.*(?:ELOOP|too many symbolic links)`),
        `${name} to ${target}`,
      );
      assertUntouched(target);
    }
  });
});
