/** Pinned namespaces, for real. Needs root. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { listMountsBelow } from "./mount.ts";
import {
  getNamespaceInode,
  pinNamespaces,
  unpinNamespaces,
  writeNetworkSysctls,
  type NamespacePins,
} from "./namespace.ts";

const base = mkdtempSync(join(tmpdir(), "gantry-namespace-"));
const pins = (name: string, more: Partial<NamespacePins> = {}): NamespacePins => ({
  directory: join(base, name),
  net: true,
  ipc: true,
  uts: true,
  loopback: true,
  sysctls: [],
  ...more,
});
const inside = (directory: string, kind: string, ...command: string[]): string =>
  execFileSync("nsenter", [`--${kind}=${join(directory, kind)}`, ...command], { encoding: "utf8" });

after(async () => {
  for (const name of readdirSync(base)) await unpinNamespaces(join(base, name));
  rmSync(base, { recursive: true });
});

test("three new namespaces, set up, and gone after unpin", async () => {
  const own = ["net", "ipc", "uts"].map((kind) => getNamespaceInode(`/proc/self/ns/${kind}`));
  const made = pins("all", {
    hostname: "pod-7",
    sysctls: [
      ["kernel/shmmax", "4096000"],
      ["net/ipv4/ip_unprivileged_port_start", "81"],
    ],
  });
  const { directory } = made;
  await pinNamespaces(made);
  assert.deepEqual(readdirSync(directory).sort(), ["ipc", "net", "uts"]);
  for (const [i, kind] of ["net", "ipc", "uts"].entries()) {
    assert.notEqual(getNamespaceInode(join(directory, kind)), own[i]);
  }
  assert.equal(inside(directory, "uts", "hostname").trim(), "pod-7");
  assert.match(inside(directory, "net", "ip", "-o", "link"), /^1: lo: <LOOPBACK,UP/);
  assert.equal(inside(directory, "net", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start").trim(), "81");
  assert.equal(inside(directory, "ipc", "cat", "/proc/sys/kernel/shmmax").trim(), "4096000");
  assert.notEqual(readFileSync("/proc/sys/kernel/shmmax", "utf8").trim(), "4096000", "not the host's");
  assert.deepEqual(
    ["net", "ipc", "uts"].map((kind) => getNamespaceInode(`/proc/self/ns/${kind}`)),
    own,
  );
  await unpinNamespaces(directory);
  assert.ok(!existsSync(directory));
  assert.deepEqual(await listMountsBelow(base), []);
  await unpinNamespaces(directory);
});

test("only what is asked for", async () => {
  const { directory } = pins("net-only");
  await pinNamespaces(pins("net-only", { ipc: false, uts: false, loopback: false }));
  assert.deepEqual(readdirSync(directory), ["net"]);
  assert.match(inside(directory, "net", "ip", "-o", "link"), /^1: lo: <LOOPBACK>/);
  await unpinNamespaces(directory);
});

test("a sysctl that the kernel refuses leaves nothing", async () => {
  for (const [path, value] of [
    ["net/ipv4/no_such_thing", "1"],
    ["net/ipv4/ip_forward", "many"],
    ["net/../../self/comm", "x"],
  ] as const) {
    await assert.rejects(
      pinNamespaces(pins("bad", { sysctls: [[path, value]] })),
      { kind: "invalid-argument" },
      path,
    );
  }
  assert.ok(!existsSync(join(base, "bad")));
  assert.deepEqual(await listMountsBelow(base), []);
});

test("sysctls of a network namespace that is there", async () => {
  const { directory } = pins("later");
  await pinNamespaces(pins("later", { ipc: false, uts: false }));
  await writeNetworkSysctls(join(directory, "net"), [["net/ipv4/conf/lo/rp_filter", "2"]]);
  assert.equal(inside(directory, "net", "cat", "/proc/sys/net/ipv4/conf/lo/rp_filter").trim(), "2");
  const bad = writeNetworkSysctls(join(directory, "net"), [["net/ipv4/conf/none/rp_filter", "2"]]);
  await assert.rejects(bad, { kind: "invalid-argument", message: /net\/ipv4\/conf\/none/ });
  await assert.rejects(writeNetworkSysctls("/etc/passwd", [["net/ipv4/ip_forward", "1"]]), /setns/);
  await unpinNamespaces(directory);
});

const MAPS = {
  uids: [{ containerID: 0, hostID: 400_000, size: 1000 }],
  gids: [{ containerID: 0, hostID: 500_000, size: 1000 }],
};

test("a user namespace owns the others, whose root sets them up", async () => {
  const made = pins("user", {
    hostname: "pod-8",
    user: MAPS,
    sysctls: [
      ["kernel/shmmax", "4096000"],
      ["fs/mqueue/msg_max", "12"],
      ["net/ipv4/ip_unprivileged_port_start", "81"],
    ],
  });
  const { directory } = made;
  await pinNamespaces(made);
  assert.deepEqual(readdirSync(directory).sort(), ["ipc", "net", "user", "uts"]);
  const enter = ["user", "net", "ipc", "uts"].map((kind) => `--${kind}=${join(directory, kind)}`);
  const script =
    "cat /proc/self/uid_map /proc/self/gid_map; hostname; cat /proc/sys/kernel/shmmax /proc/sys/fs/mqueue/msg_max; " +
    "hostname renamed && ip link set lo down && echo yes; echo 5 > /proc/sys/vm/swappiness";
  const shell = ["setpriv", "--reuid=0", "--regid=0", "--clear-groups", "sh", "-c", script];
  const { stdout, stderr } = spawnSync("nsenter", [...enter, ...shell], { encoding: "utf8" });
  assert.deepEqual(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.trim().replaceAll(/ +/g, " ")),
    ["0 400000 1000", "0 500000 1000", "pod-8", "4096000", "12", "yes"],
  );
  assert.match(stderr, /swappiness: Permission denied/);
  await unpinNamespaces(directory);
  assert.deepEqual(await listMountsBelow(base), []);
});

test("a user namespace that cannot be is told, and leaves nothing", async () => {
  const overlapping = { ...MAPS, uids: [...MAPS.uids, ...MAPS.uids] };
  await assert.rejects(pinNamespaces(pins("overlap", { user: overlapping })), /uid_map/);
  await assert.rejects(pinNamespaces(pins("sysctl", { user: MAPS, sysctls: [["kernel/shmmax", "many"]] })), {
    kind: "invalid-argument",
  });
  await pinNamespaces(pins("taken", { user: MAPS }));
  await assert.rejects(pinNamespaces(pins("taken", { user: MAPS })), { kind: "already-exists" });
  await unpinNamespaces(join(base, "taken"));
  assert.deepEqual(await listMountsBelow(base), []);
  assert.deepEqual(
    readdirSync(base).filter((name) => ["overlap", "sysctl", "taken"].includes(name)),
    [],
  );
});

/** A job's thread tells its result before it ends: what it held goes a moment later. */
async function settled(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

test("100 user namespaces leave no process and no descriptor behind", async () => {
  const children = (): string => readFileSync(`/proc/self/task/${process.pid}/children`, "utf8");
  const [before, descriptors] = [children(), readdirSync("/proc/self/fd").length];
  await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const made = pins(`user-${index}`, { user: MAPS });
      await pinNamespaces(made);
      await unpinNamespaces(made.directory);
    }),
  );
  assert.equal(children(), before);
  await settled(() => readdirSync("/proc/self/fd").length <= descriptors);
});

test("pins that are there already stay as they are", async () => {
  const { directory } = pins("twice");
  await pinNamespaces(pins("twice", { net: false, uts: false }));
  const inode = getNamespaceInode(join(directory, "ipc"));
  await assert.rejects(pinNamespaces(pins("twice")), { kind: "already-exists" });
  assert.equal(getNamespaceInode(join(directory, "ipc")), inode);
  assert.deepEqual(readdirSync(directory), ["ipc"], "the new network namespace is undone");
  await unpinNamespaces(directory);
});

test("a directory that is a symlink is refused", async () => {
  mkdirSync(join(base, "real"));
  symlinkSync("real", join(base, "link"));
  await assert.rejects(pinNamespaces(pins("link")), /ELOOP|ENOTDIR/);
  assert.deepEqual(readdirSync(join(base, "real")), []);
  rmSync(join(base, "link"));
});

test("bad host names are refused", async () => {
  for (const hostname of ["a b", "a\n", "x".repeat(65), "a/b"]) {
    await assert.rejects(pinNamespaces(pins("name", { hostname })), { kind: "invalid-argument" });
  }
  await pinNamespaces(pins("name", { hostname: "x".repeat(64) }));
  assert.equal(inside(join(base, "name"), "uts", "hostname").trim().length, 64);
  await unpinNamespaces(join(base, "name"));
});

test("a file that is no namespace has no namespace's inode", () => {
  assert.throws(() => getNamespaceInode("/etc/passwd"), { code: "EINVAL" });
  assert.throws(() => getNamespaceInode("/nonexistent"), { code: "ENOENT" });
});

test("100 pins leave no thread and no descriptor behind", async () => {
  const count = (): number[] => [readdirSync("/proc/self/task").length, readdirSync("/proc/self/fd").length];
  await pinNamespaces(pins("warm"));
  await unpinNamespaces(join(base, "warm"));
  const before = count();
  for (let i = 0; i < 10; i++) {
    const names = Array.from({ length: 10 }, (_, k) => `many-${i}-${k}`);
    await Promise.all(names.map((name) => pinNamespaces(pins(name))));
    await Promise.all(names.map((name) => unpinNamespaces(join(base, name))));
  }
  await settled(() => count().every((number, what) => number <= (before[what] ?? 0)));
});
