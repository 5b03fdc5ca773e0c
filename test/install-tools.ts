/**
 * Gets the programs that the tests use, where they are missing. Users of Gantry need none of them.
 *
 * On Debian the packages come from apt-get, if we are root; elsewhere the missing ones are named. Nothing is
 * installed, and no network used, where all are there.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** A program, or an absolute path, and the Debian package that brings it. */
const TOOLS: Record<string, string> = {
  skopeo: "skopeo",
  "docker-registry": "docker-registry",
  nft: "nftables",
  ip: "iproute2",
  runc: "runc",
  crun: "crun",
  busybox: "busybox-static",
  setcap: "libcap2-bin",
  setfattr: "attr",
  htpasswd: "apache2-utils",
  openssl: "openssl",
  nginx: "nginx-light",
  ps: "procps",
  nsenter: "util-linux",
  gcc: "gcc",
  make: "make",
  "musl-gcc": "musl-tools",
  "clang-format": "clang-format",
  "/usr/lib/cni/bridge": "containernetworking-plugins",
  iptables: "iptables",
  go: "golang-go",
  python3: "python3-minimal",
  podman: "podman",
  conmon: "conmon",
  catatonit: "catatonit",
  containerd: "containerd",
  "/usr/include/stdio.h": "libc6-dev",
  "/usr/include/seccomp.h": "libseccomp-dev",
};

/** The packages that bring them all. */
export function toolPackages(): string[] {
  return [...new Set(Object.values(TOOLS))];
}

const PATHS = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];

function isThere(tool: string): boolean {
  if (tool.startsWith("/")) return existsSync(tool);
  return PATHS.some((directory) => {
    try {
      accessSync(join(directory, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function missingPackages(tools: Readonly<Record<string, string>>): string[] {
  const missing = Object.entries(tools).filter(([tool]) => !isThere(tool));
  return [...new Set(missing.map(([, name]) => name))];
}

/**
 * @param tools programs, or absolute paths, and their packages.
 * @throws Error that names what is missing and cannot be installed.
 */
export function installTools(tools: Readonly<Record<string, string>> = TOOLS): void {
  const packages = missingPackages(tools);
  if (packages.length === 0) return;
  if (process.getuid?.() !== 0 || !isThere("apt-get")) {
    throw new Error(`the tests need these Debian packages, or their like: ${packages.join(" ")}`);
  }
  console.error(`installing ${packages.join(" ")}`);
  // A package that starts a service when installed must not do so here: the tests start their own.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const apt = (...args: string[]): void => {
    const { status } = spawnSync("apt-get", ["-qq", "-o=Dpkg::Use-Pty=0", ...args], {
      env,
      stdio: ["ignore", 2, 2],
    });
    if (status !== 0) throw new Error(`apt-get ${args.join(" ")} failed`);
  };
  apt("update");
  apt("install", "-y", "--no-install-recommends", ...packages);
}
