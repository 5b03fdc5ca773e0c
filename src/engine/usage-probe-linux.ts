/** What statistics need of the host, on Linux: netlink, /proc and /sys. */
import { readFileSync, statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { countDescriptors, readSmallFiles } from "../native/small-files.ts";
import { interfaceCounters } from "../network/interface-counters.ts";
import type { UsageProbe } from "./usage-probe.ts";

/** Names by "major:minor". Few, but a host that adds and removes disks for years has ever more of them. */
const deviceNames = new Map<string, string>();
const MAX_DEVICE_NAMES = 1024;

function deviceName(major: number, minor: number): string {
  const key = `${major}:${minor}`;
  let name = deviceNames.get(key);
  if (name === undefined) {
    name = readDeviceName(key);
    if (deviceNames.size >= MAX_DEVICE_NAMES) deviceNames.clear();
    deviceNames.set(key, name);
  }
  return name;
}

function readDeviceName(key: string): string {
  try {
    const name = /^DEVNAME=(.+)$/m.exec(readFileSync(`/sys/dev/block/${key}/uevent`, "utf8"))?.[1];
    return name === undefined ? "" : `/dev/${name}`;
  } catch {
    return "";
  }
}

const sources = new Map<string, string>();

/** What the filesystem of the directory was mounted from. It stays mounted while the daemon uses it. */
function mountSource(directory: string): string {
  let source = sources.get(directory);
  if (source === undefined) {
    const { dev } = statSync(directory, { bigint: true });
    // Of the bits of dev_t, as glibc arranges them.
    const major = Number(((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn));
    const minor = Number((dev & 0xffn) | ((dev >> 12n) & ~0xffn));
    source = deviceName(major, minor) || mountedFrom(`${major}:${minor}`);
    sources.set(directory, source);
  }
  return source;
}

/** The source of a mount whose filesystem has no block device of its own, as btrfs and zfs. */
function mountedFrom(device: string): string {
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const [front, back] = line.split(" - ");
    if (front?.split(" ")[2] === device) return back?.split(" ")[1] ?? "";
  }
  return "";
}

export const linuxUsageProbe: UsageProbe = {
  interfaces: interfaceCounters,
  descriptors: countDescriptors,
  async openFilesLimits(pids) {
    const texts = await readSmallFiles([{ root: "/proc", names: ["limits"] }], pids.map(String));
    return pids.map((_, index) => {
      const soft = /^Max open files +(\d+) /m.exec(texts(index) ?? "")?.[1];
      return soft === undefined ? undefined : Number(soft);
    });
  },
  async capacity(directory) {
    const { bsize, blocks, files, ffree } = await statfs(directory);
    return { device: mountSource(directory), sizeBytes: bsize * blocks, inodes: files, inodesFree: ffree };
  },
  deviceName,
};
