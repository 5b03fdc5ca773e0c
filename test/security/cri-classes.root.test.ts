/**
 * Classes of the layers above the executor that an image or a client of the CRI can try: sockets and directories of the
 * host (CVE-2020-15257, CVE-2021-41103, CVE-2024-25621), environments that mix (CVE-2021-21334), volumes and accounts of a
 * hostile image (CVE-2022-23648, CVE-2024-9676, CVE-2026-47262, CVE-2025-4437), annotations with effects (CVE-2023-6476,
 * CVE-2024-3154), lines in a home directory (CVE-2022-4318, CVE-2026-15809).
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { file } from "../harness/image-builder.ts";
import { Gantryd } from "./way-gantryd.ts";
import { link } from "./way.ts";

let way: Gantryd;
before(async () => {
  way = await Gantryd.open();
});
after(() => way?.close());

test("no socket of ours is abstract, and nobody but root looks into our directories (CVE-2020-15257, CVE-2021-41103)", async () => {
  const running = await way.start({ command: "while :; do sleep 1; done" });
  const sockets = readFileSync("/proc/net/unix", "utf8").split("\n");
  const { daemon } = way.setting;
  assert.deepEqual(
    sockets.filter((line) => line.includes("@") && /gantry|shim/.test(line)),
    [],
  );
  for (const [name, mode] of [
    ["root", 0o711],
    ["state", 0o711],
  ] as const)
    assert.equal(statSync(daemon.path(name)).mode & 0o777 & ~mode, 0, name);
  for (const name of ["pods", "shims"])
    assert.equal(statSync(daemon.path("state", name)).mode & 0o077 & ~0o011, 0, name);
  assert.equal(statSync(daemon.socket).mode & 0o006, 0, "the socket is not everybody's");
  await running.end();
});

test("containers that are made at once have each their own environment (CVE-2021-21334)", async () => {
  const settings = { Cmd: ["sh", "-c", 'echo "$OWN$ONLY1"'] };
  await way.image([], settings);
  const results = await Promise.all(
    Array.from({ length: 24 }, (_, index) => {
      const envs = [{ key: index === 1 ? "ONLY1" : "OWN", value: Buffer.from(`value${index}`) }];
      return way.runImage([], settings, { command: [], envs });
    }),
  );
  results.forEach((outcome, index) =>
    assert.deepEqual(outcome, { refused: undefined, output: `value${index}\n`, exitCode: 0 }),
  );
});

test("a declared volume brings nothing of the host's, whatever its path (CVE-2022-23648)", async () => {
  const host = way.setting.daemon.path("secret");
  mkdirSync(host);
  writeFileSync(`${host}/file`, "of the host\n");
  const up = "../../../../../../../..";
  for (const volume of [`/${up}${host}`, `/a/${up}${host}`, "/linked", host]) {
    const { refused, output } = await way.runImage(
      [link("linked", `${up}${host}`)],
      {
        Cmd: ["sh", "-c", `cat ${host}/file /linked/file; echo x > ${host}/made`],
        Volumes: { [volume]: {} },
      },
      { command: [] },
    );
    if (refused === undefined) assert.doesNotMatch(output, /^of the host$/m, volume);
    assert.throws(() => statSync(`${host}/made`), volume);
  }
});

test("accounts are the image's, and no more of them than is reasonable is read (CVE-2024-9676, CVE-2026-47262)", async () => {
  const daemon = way.setting.daemon;
  const outside = daemon.path("passwd");
  writeFileSync(outside, "intruder:x:4242:4242::/:/bin/sh\n");
  const up = "../../../../../../../..";
  for (const target of [
    outside,
    `${up}${outside}`,
    `/proc/self/root${outside}`,
    "/dev/zero",
    "/proc/self/environ",
  ]) {
    const { refused, output } = await way.runImage(
      [link("etc/passwd", target)],
      { Cmd: ["id", "-u"], User: "intruder" },
      { command: [] },
    );
    assert.ok(refused, `${target}: ${output}`);
  }
  const huge = file(
    "etc/passwd",
    Buffer.concat([Buffer.alloc(24 << 20, "x:x:1:1::/:\n"), Buffer.from("late:x:77:77::/:\n")]),
  );
  const { refused } = await way.runImage([huge], { Cmd: ["id", "-u"], User: "late" }, { command: [] });
  assert.ok(refused, "24 MiB of accounts");
});

test("annotations change nothing, and a line feed in HOME makes no account (CVE-2023-6476, CVE-2024-3154, CVE-2022-4318)", async () => {
  const annotations = {
    "org.systemd.property.ExecStopPost": "[('/bin/true', ['true'], false)]",
    "io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw": "true",
    "io.kubernetes.cri-o.userns-mode": "auto",
    "cpu-load-balancing.crio.io": "disable",
    "run.oci.handler": "krun",
    "io.katacontainers.config.hypervisor.path": "/bin/true",
  };
  const { refused, output } = await way.runImage(
    [],
    {
      Cmd: [
        "sh",
        "-c",
        "cat /etc/passwd; for file in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/pids/tasks; do (echo 0 > $file) 2>&1; done; cat /proc/1/uid_map",
      ],
    },
    {
      command: [],
      annotations,
      envs: [{ key: "HOME", value: Buffer.from("/x:/bin/sh\nevil:x:0:0::/:/bin/sh") }],
    },
  );
  if (refused !== undefined) return;
  assert.doesNotMatch(output, /evil/);
  assert.match(output, /Read-only/);
  assert.match(output, /^\s+0\s+0\s+4294967295$/m);
  assert.doesNotMatch(way.setting.daemon.log(), /ExecStopPost.*(?:exec|run)/);
});
