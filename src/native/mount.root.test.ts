/** The daemon's own mounts, for real. Needs root. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { statfs, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { getNamespaceInode, pinNamespaces, unpinNamespaces } from "./namespace.ts";
import { bindMount, isMountPoint, listMountsBelow, mountTmpfs, unmount } from "./mount.ts";

const base = mkdtempSync(join(tmpdir(), "gantry-mount-"));
const options = { sizeBytes: 1 << 20, mode: 0o1777, nosuid: true, nodev: true, noexec: true };
const directory = (name: string): string => {
  mkdirSync(join(base, name));
  return join(base, name);
};
after(async () => {
  for (const point of await listMountsBelow(base)) await unmount(point);
  rmSync(base, { recursive: true });
});

test("a tmpfs of the size, mode and flags asked for", async () => {
  const target = directory("sh m");
  assert.equal(isMountPoint(target), false);
  await mountTmpfs(target, options);
  assert.equal(isMountPoint(target), true);
  assert.equal(statSync(target).mode & 0o7777, 0o1777);
  const { type, blocks, bsize } = await statfs(target);
  assert.deepEqual([type, blocks * bsize], [0x01021994, 1 << 20]);
  assert.throws(() => writeFileSync(join(target, "big"), Buffer.alloc(2 << 20)), { code: "ENOSPC" });
  assert.deepEqual(await listMountsBelow(base), [target]);
  const line = (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .find((text) => text.includes("sh\\040m"));
  assert.match(line ?? "", /nosuid,nodev,noexec/);
  await unmount(target);
  assert.equal(isMountPoint(target), false);
});

test("a namespace gets a second name", async () => {
  const target = join(base, "second");
  writeFileSync(target, "");
  const pins = join(base, "pins");
  await pinNamespaces({
    directory: pins,
    net: true,
    ipc: false,
    uts: false,
    loopback: true,
    sysctls: [],
  });
  await bindMount(join(pins, "net"), target);
  await unpinNamespaces(pins);
  assert.ok(getNamespaceInode(target) > 0n, "and outlives the first");
  await unmount(target);
  const link = join(base, "to-second");
  symlinkSync("second", link);
  await assert.rejects(bindMount(base, link), /ENOTDIR|ELOOP|EINVAL/);
});

test("unmount takes a whole stack, and nothing is no error", async () => {
  const target = directory("stack");
  await mountTmpfs(target, options);
  await mountTmpfs(target, options);
  assert.deepEqual(await listMountsBelow(target), [target, target]);
  await unmount(target);
  assert.deepEqual(await listMountsBelow(target), []);
  await unmount(target);
  await unmount(join(base, "missing"));
});

test("a symlink is not followed", async () => {
  const target = directory("target");
  const link = join(base, "link");
  symlinkSync("target", link);
  await assert.rejects(mountTmpfs(link, options), /ELOOP|ENOTDIR/);
  await mountTmpfs(target, options);
  assert.equal(isMountPoint(link), false);
  await unmount(link);
  assert.equal(isMountPoint(target), true);
  await unmount(target);
  assert.equal(isMountPoint(join(base, "missing")), false);
});
