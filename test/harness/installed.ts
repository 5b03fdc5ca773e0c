/**
 * The Gantry that is installed on this machine, under its unit: for tests in the virtual machine. What the package
 * brings is not touched; the settings of the tests are drop-ins beside its configuration file.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runCommand } from "./command.ts";
import { criTools } from "./cri-tools.ts";
import { Crictl } from "./crictl.ts";
import { patient } from "./patience.ts";

export const INSTALLED_ENDPOINT = "unix:///run/gantry/gantry.sock";
export const INSTALLED_NRI_SOCKET = "/var/run/nri/nri.sock";

const DROP_IN = "/etc/gantry/conf.d/50-tests.toml";
const HOSTS = "/etc/gantry/certs.d";

export interface InstalledSettings {
  /** "127.0.0.1:PORT", with the images of the upstream registries. */
  registry: string;
  upstreams: readonly string[];
  /** Further settings, TOML. */
  more?: string;
}

/** Writes the tests' settings; a daemon that runs takes them when it is started again. */
export async function writeInstalledSettings({
  registry,
  upstreams,
  more,
}: InstalledSettings): Promise<void> {
  await mkdir(join(DROP_IN, ".."), { recursive: true });
  await writeFile(DROP_IN, `[network]\nmode = "embedded"\n${more ?? ""}\n`);
  for (const upstream of upstreams) {
    await mkdir(join(HOSTS, upstream), { recursive: true });
    await writeFile(
      join(HOSTS, upstream, "hosts.toml"),
      `server = "https://${upstream}"\n[host."http://${registry}"]\n  capabilities = ["pull", "resolve"]\n`,
    );
  }
}

export async function removeInstalledSettings(): Promise<void> {
  for (const place of [HOSTS, join(DROP_IN, "..")]) await rm(place, { recursive: true, force: true });
}

/** Runs a command that must succeed; resolves to its standard output. */
export async function succeed(program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(program, args, { timeoutMs: patient(300_000) });
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${stderr}${stdout}`);
  return stdout.trim();
}

/** Properties of the unit, as systemctl shows them. */
export async function unitProperties(...names: string[]): Promise<Record<string, string>> {
  const text = await succeed("systemctl", "show", "gantryd.service", "-p", names.join(","));
  return Object.fromEntries(
    text.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

/** The daemon's process. */
export async function mainPid(): Promise<number> {
  return Number((await unitProperties("MainPID"))["MainPID"]);
}

/** Waits until a condition holds. @throws Error with what it is about, where it does not in time. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + patient(15_000); performance.now() < end; await sleep(200))
    if (await holds()) return;
  throw new Error(`not in time: ${what}`);
}

export async function installedCrictl(directory: string): Promise<Crictl> {
  return new Crictl((await criTools()).crictl, INSTALLED_ENDPOINT, directory);
}

/**
 * Stops the daemon, and tells what of pods and containers is on the machine then: nothing when all were removed, after
 * a little patience for what the kernel and systemd end by themselves.
 */
export async function installedLeftovers(): Promise<string[]> {
  await succeed("systemctl", "stop", "gantryd.service");
  let left = await holdings();
  for (
    const end = performance.now() + patient(2000);
    left.length > 0 && performance.now() < end;
    await sleep(200)
  )
    left = await holdings();
  return left;
}

async function holdings(): Promise<string[]> {
  const find = async (...args: string[]): Promise<string[]> =>
    (await runCommand("find", args)).stdout.split("\n").filter((line) => line !== "");
  const mounts = (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .filter((line) => / \/(run|var\/lib)\/gantry\//.test(line));
  const { stdout: processes } = await runCommand("pgrep", ["-a", "gantry-shim"]);
  return [
    ...(await find("/run/gantry/pods", "/run/gantry/shims", "-mindepth", "1")),
    ...(await find("/var/lib/gantry/snapshots/active", "-mindepth", "1", "-maxdepth", "1")),
    ...(await find(
      "/sys/fs/cgroup",
      "-mindepth",
      "2",
      "-type",
      "d",
      "-path",
      "*gantry*",
      "-not",
      "-path",
      "*.service*",
    )),
    ...mounts.map((line) => `mount ${line}`),
    ...processes.split("\n").filter((line) => line !== ""),
  ];
}
