/**
 * The Debian of the virtual machine: which release, which packages, and from where. The packages come from whatever
 * apt of this machine is set up to use; nothing of that stands here.
 */
import { runCommand } from "../harness/command.ts";
import { toolPackages } from "../install-tools.ts";

export const RELEASE = "bookworm";

/** Packages of the tests that a machine without a network has no use for: what Go builds is built before. */
const NOT_IN_THE_GUEST = ["golang-go", "clang-format"];

const PACKAGES = [
  ...["linux-image-amd64", "initramfs-tools", "systemd", "systemd-sysv", "udev", "dbus", "kmod", "apparmor"],
  ...["man-db", "bash-completion", "ca-certificates", "netbase", "strace", "sudo"],
  ...["runc", "crun", "podman", "containernetworking-plugins"],
];

/** Packages that tests unpack without installing them; they are kept in the guest for `apt-get download`. */
export const KEPT_PACKAGES = ["busybox"];

export function guestPackages(): string[] {
  const tools = toolPackages().filter((name) => !NOT_IN_THE_GUEST.includes(name));
  return [...new Set([...PACKAGES, ...tools])].toSorted();
}

export interface AptSource {
  uri: string;
  suite: string;
  component: string;
}

/** This machine's sources of the release, the release itself first. @throws Error where there is none. */
export async function aptSources(): Promise<AptSource[]> {
  const format = "$(REPO_URI) $(CODENAME) $(SUITE) $(RELEASE) $(COMPONENT)";
  const { stdout, code, stderr } = await runCommand("apt-get", [
    "indextargets",
    "--format",
    format,
    "Created-By: Packages",
  ]);
  if (code !== 0) throw new Error(`apt-get indextargets: ${stderr}`);
  const sources = stdout
    .split("\n")
    .map((line) => line.split(" "))
    .map(([uri = "", codename = "", , release = "", component = ""]) => ({
      uri,
      suite: release.startsWith(RELEASE) ? release : codename,
      component,
    }))
    .filter(({ suite }) => suite.startsWith(RELEASE));
  const own = sources.filter(({ suite }) => suite === RELEASE);
  if (own.length === 0) throw new Error(`no apt source of this machine has Debian ${RELEASE}`);
  return [...own, ...sources.filter((source) => !own.includes(source))];
}
