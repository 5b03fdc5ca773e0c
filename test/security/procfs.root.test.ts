/**
 * What the runtime writes to procfs reaches procfs and the file that is meant, and what a container finds there is no lie:
 * nothing is mounted over it, and nothing that was is believed. CVE-2019-16884, CVE-2025-52881, CVE-2025-31133.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { shimProgram } from "../../src/native/addon.ts";
import { compilePlan } from "../../src/oci/plan-compile.ts";
import { decodeLaunchResult, explainPlanError } from "../../src/oci/plan-explain.ts";
import { TestContainer } from "../../src/oci/plan-test-container.ts";
import type { Mount, Spec } from "../../src/oci/runtime-spec.ts";
import { Gantryd } from "./way-gantryd.ts";
import { GantryOci } from "./way-gantry-oci.ts";
import { bothWays, link } from "./way.ts";

let decoy: string;
before(() => {
  decoy = mkdtempSync(join(tmpdir(), "gantry-decoy-"));
  for (const name of ["current", "exec", "oom_score_adj", "file"])
    writeFileSync(join(decoy, name), "decoy\n");
});
after(() => rmSync(decoy, { recursive: true }));

const ON_PROCFS = /procfs|EPERM|not permitted/;

bothWays((way) => {
  test("no volume covers procfs or a part of it, by any name (CVE-2019-16884)", async () => {
    for (const containerPath of [
      "/proc",
      "/proc/self/attr",
      "/proc/1/attr/..",
      "/proc/sys",
      "/tmp/../proc/self/attr",
      "/innocent",
    ]) {
      const { refused } = await way().run({
        image: [link("innocent", "/proc/self/attr")],
        command: "cat /proc/self/attr/current",
        mounts: [{ hostPath: decoy, containerPath }],
      });
      assert.match(refused ?? "", ON_PROCFS, containerPath);
    }
  });

  test("what is masked is the null device or an empty directory, what is read-only stays so (CVE-2025-31133)", async () => {
    const masked = "acpi asound interrupts kcore keys latency_stats sched_debug scsi timer_list timer_stats";
    const { output } = await way().run({
      capabilities: ["SYS_ADMIN"],
      command: `
        for name in ${masked}; do path=/proc/$name
          [ -e $path ] || continue
          if [ -d $path ]; then ls -A $path; else [ "$(stat -c %t:%T $path)" = 1:3 ] || echo "$path is not masked"; fi
        done
        ls -A /sys/firmware /sys/devices/virtual/powercap 2>/dev/null | grep -v : | grep .
        for path in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/irq/default_smp_affinity; do
          [ -e $path ] && (echo x > $path) 2>&1 | grep -v 'Read-only'
        done
        echo done`,
    });
    assert.equal(output, "done\n");
  });
});

/** A filesystem on procfs, as a bundle and a CDI file may ask for one. */
const COVERING: readonly Mount[] = ["/proc", "/proc/self/attr", "/innocent"].map((destination) => ({
  destination,
  type: "tmpfs",
  source: "tmpfs",
  options: ["ro"],
}));

test("gantry-oci: a bundle's tmpfs does not cover procfs", async () => {
  const way = new GantryOci();
  try {
    for (const mount of COVERING) {
      const attack = { image: [link("innocent", "/proc/self/attr")], command: "true" };
      const { refused } = await way.run(attack, (spec: Spec) => spec.mounts?.push(mount));
      assert.match(refused ?? "", ON_PROCFS, mount.destination);
    }
  } finally {
    await way.close();
  }
});

test("gantryd: neither a CDI device's tmpfs nor an image's volume covers procfs", async () => {
  const way = await Gantryd.open();
  try {
    mkdirSync(way.setting.daemon.path("cdi"));
    const devices = COVERING.map(({ destination, type, options }, index) => ({
      name: `d${index}`,
      containerEdits: { mounts: [{ type, options, hostPath: "tmpfs", containerPath: destination }] },
    }));
    const file = { cdiVersion: "1.1.0", kind: "test.example/cover", devices };
    writeFileSync(way.setting.daemon.path("cdi/cover.json"), JSON.stringify(file));
    const image = [link("innocent", "/proc/self/attr")];
    const settings = { Cmd: ["true"] };
    for (const { name } of devices) {
      const CDI_devices = [{ name: `test.example/cover=${name}` }];
      const { refused } = await way.runImage(image, settings, { command: [], CDI_devices });
      assert.match(refused ?? "", ON_PROCFS, name);
    }
    for (const volume of ["/proc", "/proc/self/attr", "/innocent", "/proc/../proc/1"]) {
      const script = "stat -f -c %T /proc /proc/self/attr /innocent; cat /proc/self/stat | wc -l";
      const { refused, output } = await way.runImage(image, {
        Cmd: ["sh", "-c", script],
        Volumes: { [volume]: {} },
      });
      if (refused === undefined) assert.equal(output, "proc\nproc\nproc\n1\n", volume);
    }
  } finally {
    await way.close();
  }
});

describe("a procfs that is none, or that something lies on (CVE-2025-52881)", () => {
  let container: TestContainer;
  before(() => {
    container = new TestContainer();
  });
  after(() => container.dispose());

  /** In a mount namespace of its own, prepared by this script; what the plan came to, and what the script says after it. */
  function launch(spec: Spec, prepare: string, afterwards: string): { message: string; output: string } {
    const [plan, result] = ["plan", "result"].map((name) => join(decoy, name)) as [string, string];
    const bytes = compilePlan(spec, container.options());
    writeFileSync(plan, bytes);
    const script = `set -e; ${prepare}
      "$0" launch --plan-fd 3 --result-fd 4 --wait 3<"$1" 4>"$2" || true
      ${afterwards}`;
    const { stdout, stderr } = spawnSync(
      "unshare",
      ["--mount", "--propagation", "private", "sh", "-c", script, shimProgram, plan, result],
      { encoding: "utf8", cwd: "/" },
    );
    const decoded = decodeLaunchResult(readFileSync(result));
    const message = "error" in decoded ? explainPlanError(bytes, decoded.error).message : "";
    return { message, output: stdout + stderr };
  }

  const FAKE = `mount -t tmpfs tmpfs /proc
    mkdir -p /proc/sys/net/ipv4 /proc/self/attr/apparmor /proc/thread-self/attr
    for path in sys/net/ipv4/ip_forward self/oom_score_adj self/attr/exec thread-self/attr/exec; do echo decoy > /proc/$path; done`;
  const ALL =
    "cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj /proc/self/attr/exec /proc/thread-self/attr/exec";
  const UNTOUCHED = "decoy\n".repeat(4);

  test("sysctls, labels and scores are not written to a tmpfs in its place", () => {
    const sysctl = container.spec("true", {}, { sysctl: { "net.ipv4.ip_forward": "1" } });
    const label = container.spec("true", { selinuxLabel: "a:b:c:s0" });
    const score = container.spec("true", { oomScoreAdj: 500 });
    for (const spec of [sysctl, label, score]) {
      const { message, output } = launch(spec, FAKE, ALL);
      assert.match(message, /ENOTSUP/);
      assert.equal(output, UNTOUCHED);
    }
  });

  test("a sysctl is not written to a file that is mounted over it, by a container or by a pod", async () => {
    const path = "/proc/sys/kernel/domainname";
    const over = `mount --bind ${join(decoy, "file")} ${path}`;
    const spec = container.spec("true", {}, { sysctl: { "kernel.domainname": "raced" } });
    const { message, output } = launch(spec, over, `cat ${path}`);
    assert.match(message, /EXDEV/);
    assert.equal(output, "decoy\n");

    const module = JSON.stringify(join(import.meta.dirname, "../../src/native/namespace.ts"));
    const directory = join(decoy, "pins");
    const options = JSON.stringify({
      directory,
      net: false,
      ipc: false,
      uts: true,
      loopback: false,
      sysctls: [["kernel/domainname", "raced"]],
    });
    const pin = `(await import(${module})).pinNamespaces(${options}).then(() => console.log("pinned"), (e) => console.log(e.message))`;
    const pinned = execFileSync(
      "unshare",
      [
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        `${over}; "$0" --input-type=module -e "$1"; cat ${path}`,
        process.execPath,
        pin,
      ],
      { encoding: "utf8" },
    );
    assert.match(pinned, /EXDEV.*\ndecoy\n$/);
  });

  test("a control group is entered through no link, and nowhere but in its filesystem", async () => {
    const file = join(decoy, "tasks");
    writeFileSync(file, "");
    const plain = await container.run(container.spec("true"), { cgroup: { tasksFiles: [file] } });
    assert.match(plain.message ?? "", /ENOTSUP/);
    const through = join(decoy, "link");
    execFileSync("ln", ["-s", "/sys/fs/cgroup", through]);
    const linked = await container.run(container.spec("true"), {
      cgroup: { tasksFiles: [join(through, "pids/tasks")] },
    });
    assert.match(linked.message ?? "", /ELOOP/);
    assert.equal(readFileSync(file, "utf8"), "");
  });
});
