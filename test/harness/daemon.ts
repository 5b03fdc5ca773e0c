/**
 * A gantryd of a test's own: everything below one directory, its own bridge, subnet, cgroups and tables, so that
 * several run side by side and nothing is shared with an installed one.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, openSync, closeSync, readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { listMountsBelow, unmount } from "../../src/native/mount.ts";
import { bridgeConf, cniSettings, writeConf } from "./cni.ts";
import { runCommand } from "./command.ts";
import { ownNumber } from "./own-number.ts";
import { patient } from "./patience.ts";

const repository = join(import.meta.dirname, "../..");

/** Soft limit on open files at its start, as service managers have it. Node raises its own, and so that of a child. */
export const OPEN_FILES = 1024;

/** A stop that takes longer hangs. */
const STOP_LIMIT_MS = patient(60_000);

/** So does a start. */
const START_LIMIT_MS = patient(60_000);

export interface TestDaemonOptions {
  /** Registries reached over plain HTTP, "127.0.0.1:5000". */
  plainHttpHosts?: string[];
  /** Upstream hosts that a registry stands in for: { "registry.k8s.io": "127.0.0.1:5000" }. */
  mirrors?: Record<string, string>;
  /** images.pull_progress_timeout_seconds. */
  pullProgressTimeoutSeconds?: number;
  /** "cni": Debian's plugins, on the bridge and subnet that the embedded network would have (test/harness/cni.ts). */
  network?: "embedded" | "none" | "cni";
  /** "systemd" of the host makes the control groups; gantryd itself unless given. */
  cgroupDriver?: "cgroupfs" | "systemd";
  /** runtime.default_handler. */
  defaultHandler?: string;
  /** Further configuration, TOML. */
  configuration?: string;
  /** The file `failpoint` in its directory names the point at which it dies (src/base/failpoint.ts). */
  failpoints?: boolean;
}

export class TestDaemon {
  readonly directory: string;
  readonly name: string;
  readonly endpoint: string;
  readonly socket: string;
  readonly nriSocket: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly cgroupParent: string;
  readonly network: "embedded" | "none" | "cni";
  readonly #failpoints: boolean;
  #child: ChildProcess | undefined;

  private constructor(
    directory: string,
    { failpoints = false, network = "embedded", cgroupDriver = "cgroupfs" }: TestDaemonOptions,
  ) {
    this.directory = directory;
    this.network = network;
    this.#failpoints = failpoints;
    this.name = `gt${randomBytes(3).toString("hex")}`;
    this.socket = join(directory, "gantryd.sock");
    this.endpoint = `unix://${this.socket}`;
    this.nriSocket = join(directory, "nri/nri.sock");
    this.bridge = `${this.name}b`;
    const subnet = ownNumber("daemon's subnet", 0, 50 * 256);
    this.subnet = `10.${200 + Math.floor(subnet / 256)}.${subnet % 256}.0/24`;
    this.cgroupParent = `/${this.name}${cgroupDriver === "systemd" ? ".slice" : ""}`;
  }

  /** Makes the directory and configuration, and starts it. */
  static async start(options: TestDaemonOptions = {}): Promise<TestDaemon> {
    const directory = await mkdtemp(join(tmpdir(), "gantry-test-"));
    // As /run is: root of a user namespace may come by.
    await chmod(directory, 0o711);
    const daemon = new TestDaemon(directory, options);
    try {
      await daemon.#configure(options);
      await daemon.run();
    } catch (error) {
      await daemon.remove();
      throw error;
    }
    return daemon;
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  /** Whether it has ended, in whichever way; also before its first start. */
  get ended(): boolean {
    return !this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Waits for its end. Resolves to whether it came in time. */
  async endsWithin(timeoutMs: number): Promise<boolean> {
    for (const end = performance.now() + timeoutMs; !this.ended && performance.now() < end;) await sleep(5);
    return this.ended;
  }

  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  /** What it has logged so far. */
  log(): string {
    return readFileSync(this.path("gantryd.log"), "utf8");
  }

  /** Starts it, again after a stop, and waits until its socket answers. */
  async run(): Promise<void> {
    const before = this.#readyLines();
    const log = openSync(this.path("gantryd.log"), "a");
    const child = spawn(
      "/bin/sh",
      [
        "-c",
        `ulimit -Sn ${OPEN_FILES}; exec "$0" "$@"`,
        join(repository, "bin/gantryd"),
        "--config",
        this.path("config.toml"),
        "--root",
        this.path("root"),
        "--state",
        this.path("state"),
        "--listen",
        this.endpoint,
        "--log-level",
        "debug",
      ],
      {
        stdio: ["ignore", log, log],
        env: this.#failpoints
          ? { ...process.env, GANTRY_FAILPOINT: `@${this.path("failpoint")}` }
          : process.env,
      },
    );
    closeSync(log);
    this.#child = child;
    for (const end = performance.now() + START_LIMIT_MS; performance.now() < end; await sleep(25)) {
      if (this.ended)
        throw new Error(
          `gantryd ended with ${child.signalCode ?? child.exitCode}:\n${this.log().slice(-4000)}`,
        );
      if (existsSync(this.socket) && this.#readyLines() > before) return;
    }
    await this.kill();
    throw new Error(`gantryd was not ready in time:\n${this.log().slice(-4000)}`);
  }

  /** Sends a signal and waits for its end; resolves with the exit code, -1 for a death by signal. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? -1;
    // Of this very child: somebody may start the daemon again as soon as it is dead.
    const end = once(child, "exit");
    child.kill(signal);
    const limit = new AbortController();
    const late = sleep(STOP_LIMIT_MS, true, { signal: limit.signal }).catch(() => false);
    const hangs = await Promise.race([end.then(() => false), late]);
    limit.abort();
    if (!hangs) return child.exitCode ?? -1;
    child.kill("SIGKILL");
    await end;
    throw new Error(`gantryd did not end after ${signal}:\n${this.log()}`);
  }

  /** SIGKILL: the ordinary way to stop. */
  async kill(): Promise<void> {
    await this.stop("SIGKILL");
  }

  /** Deletes its directory, and where a test has failed before its end, what is still mounted below it. */
  async remove(): Promise<void> {
    await this.stop();
    for (const target of await listMountsBelow(this.directory)) await unmount(target);
    // The plugin leaves it.
    if (this.network === "cni") await runCommand("ip", ["link", "delete", this.bridge]);
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Files left in a directory below root or state, relative, without directories. */
  async filesBelow(...parts: string[]): Promise<string[]> {
    const entries = await readdir(this.path(...parts), { recursive: true, withFileTypes: true }).catch(
      () => [],
    );
    return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  }

  #readyLines(): number {
    return existsSync(this.path("gantryd.log")) ? this.log().split(`"msg":"ready"`).length - 1 : 0;
  }

  async #configure(options: TestDaemonOptions): Promise<void> {
    const hosts = this.path("certs.d");
    for (const [upstream, host] of Object.entries(options.mirrors ?? {})) {
      await mkdir(join(hosts, upstream), { recursive: true });
      await writeFile(
        join(hosts, upstream, "hosts.toml"),
        `server = "https://${upstream}"\n[host."http://${host}"]\n  capabilities = ["pull", "resolve"]\n`,
      );
    }
    const lines = [
      "[images]",
      `registry_config_path = ${JSON.stringify([hosts])}`,
      `plain_http_hosts = ${JSON.stringify(options.plainHttpHosts ?? [])}`,
      ...(options.pullProgressTimeoutSeconds === undefined
        ? []
        : [`pull_progress_timeout_seconds = ${options.pullProgressTimeoutSeconds}`]),
      "[network]",
      `mode = ${JSON.stringify(this.network)}`,
      `bridge = ${JSON.stringify(this.bridge)}`,
      `subnet = ${JSON.stringify(this.subnet)}`,
      "[runtime]",
      `cgroup_driver = ${JSON.stringify(options.cgroupDriver ?? "cgroupfs")}`,
      // A slice is given by its name.
      `pod_cgroup = ${JSON.stringify(this.cgroupParent.replace(/^\/(?=.*\.slice$)/, ""))}`,
      `cdi_directories = ${JSON.stringify([this.path("cdi"), this.path("cdi-above")])}`,
      `shim_cgroup = ${JSON.stringify(`${this.cgroupParent}-shims`)}`,
      `default_handler = ${JSON.stringify(options.defaultHandler ?? "gantry")}`,
      ...(this.network === "cni" ? cniSettings(this) : []),
      "[nri]",
      `socket_path = ${JSON.stringify(this.nriSocket)}`,
      `plugin_path = ${JSON.stringify(this.path("nri-plugins"))}`,
      `plugin_config_path = ${JSON.stringify(this.path("nri-conf.d"))}`,
      options.configuration ?? "",
    ];
    if (this.network === "cni") await writeConf(this, "10-test.conflist", bridgeConf(this));
    await writeFile(this.path("config.toml"), `${lines.join("\n")}\n`);
  }
}
