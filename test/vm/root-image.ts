/**
 * The disk of the virtual machine: a Debian made with debootstrap, with everything installed that the tests use, as
 * one ext4 file system beside its kernel and initial ramdisk. It is made once for each list of packages and each
 * version of this file and of guest/, and never written to afterwards: each machine writes to a copy of its own.
 *
 * Making it needs root (debootstrap, chroot) but no loop device, and a network to Debian's packages.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import {
  appendFile,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "../harness/command.ts";
import { aptSources, guestPackages, KEPT_PACKAGES, RELEASE } from "./debian.ts";

const STEP_LIMIT_MS = 1_800_000;
const DISK_SIZE = "8G";
const GUEST_FILES = join(import.meta.dirname, "guest/root");
/** All that the initial ramdisk needs to find the disk. */
const BOOT_MODULES = ["virtio_pci", "virtio_blk", "ext4"];

export interface RootImage {
  disk: string;
  kernel: string;
  initialRamdisk: string;
}

/** The image, made where there is none yet. */
export async function rootImage(cache: string, tell: (line: string) => void): Promise<RootImage> {
  const directory = join(cache, `image-${await imageKey()}`);
  if (!existsSync(directory)) await build(directory, tell);
  return {
    disk: join(directory, "disk.img"),
    kernel: join(directory, "kernel"),
    initialRamdisk: join(directory, "initrd"),
  };
}

async function imageKey(): Promise<string> {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([RELEASE, guestPackages(), KEPT_PACKAGES]));
  hash.update(await readFile(import.meta.filename));
  for (const path of await guestFiles()) hash.update(path).update(await readFile(join(GUEST_FILES, path)));
  return hash.digest("hex").slice(0, 12);
}

async function guestFiles(): Promise<string[]> {
  const entries = await readdir(GUEST_FILES, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(GUEST_FILES.length + 1))
    .toSorted();
}

async function build(directory: string, tell: (line: string) => void): Promise<void> {
  await mkdir(join(directory, ".."), { recursive: true });
  const half = await mkdtemp(`${directory}.`);
  const root = join(half, "root");
  try {
    const [mirror] = await aptSources();
    if (mirror === undefined) throw new Error("no apt source");
    tell(`building the virtual machine's disk: Debian ${RELEASE}`);
    await step("debootstrap", ["--variant=minbase", RELEASE, root, mirror.uri]);
    tell(`building the virtual machine's disk: ${guestPackages().length} packages and what they need`);
    await prepare(root);
    await inRoot(root, "apt-get -q update");
    await inRoot(root, `apt-get -q install -y --no-install-recommends ${guestPackages().join(" ")}`);
    await keepPackages(root);
    await settle(root);
    tell("building the virtual machine's disk: file system");
    await copyFile(join(root, "vmlinuz"), join(half, "kernel"));
    await copyFile(join(root, "initrd.img"), join(half, "initrd"));
    await step("mkfs.ext4", ["-q", "-d", root, "-E", "root_owner=0:0", join(half, "disk.img"), DISK_SIZE]);
    await rm(root, { recursive: true });
    // Another run may have made it meanwhile; then that one is as good.
    await rename(half, directory).catch(async (error: unknown) => {
      if (!existsSync(directory)) throw error;
    });
  } finally {
    await rm(half, { recursive: true, force: true });
  }
}

async function step(program: string, args: readonly string[]): Promise<void> {
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, LC_ALL: "C" };
  const { code, stdout, stderr } = await runCommand(program, args, { env, timeoutMs: STEP_LIMIT_MS });
  if (code !== 0)
    throw new Error(
      `${program} ${args.join(" ")} ended with ${code}:\n${`${stdout}\n${stderr}`.slice(-4000)}`,
    );
}

/**
 * Runs a shell command in the new root, in mount and process namespaces that end with it: nothing stays mounted and
 * nothing runs on, however it ends.
 */
async function inRoot(root: string, command: string): Promise<void> {
  const script = `mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t sysfs -o ro sys "$1/sys" &&
    exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive sh -ec "$2"`;
  await step("unshare", [
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "sh",
    "-c",
    script,
    "sh",
    root,
    command,
  ]);
}

/** What apt needs in the new root, and that no package starts a service there. */
async function prepare(root: string): Promise<void> {
  const sources = (await aptSources()).map(
    ({ uri, suite, component }) => `deb ${uri} ${suite} ${component}\n`,
  );
  await writeFile(join(root, "etc/apt/sources.list"), sources.join(""));
  const { stdout } = await runCommand("apt-config", ["dump", "Acquire"]);
  const settings = stdout.split("\n").filter((line) => !/^Acquire::(IndexTargets|cdrom)/.test(line));
  await writeFile(join(root, "etc/apt/apt.conf.d/00acquire"), settings.join("\n"));
  await copyFile("/etc/resolv.conf", join(root, "etc/resolv.conf"));
  await writeFile(join(root, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  await mkdir(join(root, "etc/initramfs-tools/conf.d"), { recursive: true });
  await writeFile(join(root, "etc/initramfs-tools/conf.d/guest"), "MODULES=list\nCOMPRESS=lz4\n");
  await writeFile(join(root, "etc/initramfs-tools/modules"), `${BOOT_MODULES.join("\n")}\n`);
}

/** Makes a package source of a directory in the guest, for what tests unpack with `apt-get download`. */
async function keepPackages(root: string): Promise<void> {
  const place = "/var/lib/kept-packages";
  await inRoot(
    root,
    `mkdir ${place}; cd ${place}; apt-get -q download ${KEPT_PACKAGES.join(" ")}
     for package in *.deb; do
       dpkg-deb -f "$package"
       echo "Filename: ./$package"
       echo "Size: $(stat -c %s "$package")"
       echo "SHA256: $(sha256sum "$package" | cut -d' ' -f1)"
       echo
     done >Packages
     echo "deb [trusted=yes] file:${place} ./" >/etc/apt/sources.list
     rm -rf /var/lib/apt/lists/* /etc/apt/apt.conf.d/00acquire /etc/resolv.conf
     apt-get -q update
     apt-get -q clean`,
  );
}

/** Only what the guest's own unit starts runs in it: no timers, none of the installed servers. */
async function settle(root: string): Promise<void> {
  for (const path of await guestFiles()) {
    const target = join(root, path);
    await mkdir(join(target, ".."), { recursive: true });
    await writeFile(target, await readFile(join(GUEST_FILES, path)), {
      mode: path.includes("/sbin/") ? 0o755 : 0o644,
    });
  }
  await appendFile(join(root, "etc/hosts"), "127.0.0.1 localhost guest\n");
  await inRoot(
    root,
    `rm -f /usr/sbin/policy-rc.d
     for target in multi-user default timers sockets; do rm -rf "/etc/systemd/system/$target.target.wants"; done
     systemctl set-default multi-user.target
     systemctl enable gantry-guest.service
     systemctl mask getty@tty1.service serial-getty@ttyS0.service
     echo guest >/etc/hostname; : >/etc/resolv.conf; : >/etc/machine-id; passwd -d root`,
  );
}
