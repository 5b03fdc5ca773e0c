/**
 * For tests that need root: a root filesystem with busybox in a directory of its own, and launching real processes
 * in it through `gantry-shim launch`. Everything is removed by `dispose`.
 */
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { patient } from "../../test/harness/patience.ts";
import { shimProgram } from "../native/addon.ts";
import { compilePlan, type PlanOptions } from "./plan-compile.ts";
import { decodeLaunchResult, explainPlanError, type PlanError } from "./plan-explain.ts";
import type { Linux, Process, Spec } from "./runtime-spec.ts";

export const APPLETS =
  "sh ls cat mount id true false sleep ps stat readlink tty hostname grep env pwd echo kill wc test mkdir head touch stty umask chmod ln dd";

export const TEST_CAPABILITIES = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

export interface Launched {
  /** Exit status of the launcher, which with --wait is that of the process. */
  status: number | null;
  stdout: string;
  stderr: string;
  pid: number | undefined;
  error: PlanError | undefined;
  /** The error in words. */
  message: string | undefined;
}

async function bytes(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/**
 * Launches a plan; with --wait unless `args` say what else: then its output goes nowhere. `preserve` are descriptors that become 3, 4, … Kills the
 * launcher after ten seconds, on a machine of usual speed.
 */
export async function launchPlan(
  plan: Uint8Array,
  args: string[] = ["--wait"],
  stdin = "",
  preserve: number[] = [],
): Promise<Launched> {
  const output = args.includes("--wait") ? "pipe" : "ignore";
  const [planFd, resultFd] = [3 + preserve.length, 4 + preserve.length];
  const child = spawn(
    shimProgram,
    ["launch", "--plan-fd", `${planFd}`, "--result-fd", `${resultFd}`, ...args],
    {
      stdio: ["pipe", output, output, ...preserve, "pipe", "pipe"],
      timeout: patient(10_000),
      killSignal: "SIGKILL",
    },
  );
  const [planPipe, resultPipe] = [
    child.stdio[planFd as 3] as Writable,
    child.stdio[resultFd as 4] as Readable,
  ];
  const ended = new Promise<number | null>((resolve, reject) =>
    child.on("exit", resolve).on("error", reject),
  );
  /* A launcher that refuses its arguments reads no plan. */
  planPipe.on("error", () => {}).end(plan);
  child.stdin?.on("error", () => {}).end(stdin);
  const reading = [child.stdout, child.stderr].map((stream) => (stream ? text(stream) : Promise.resolve("")));
  const record = await bytes(resultPipe);
  const status = await ended;
  const [stdout = "", stderr = ""] = await Promise.all(reading);
  const result = decodeLaunchResult(record);
  if ("pid" in result)
    return { status, stdout, stderr, pid: result.pid, error: undefined, message: undefined };
  const message = explainPlanError(plan, result.error).message;
  return { status, stdout, stderr, pid: undefined, error: result.error, message };
}

export class TestContainer {
  readonly directory = mkdtempSync(join(tmpdir(), "gantry-plan-"));
  readonly rootfs = join(this.directory, "rootfs");

  constructor() {
    for (const name of ["bin", "etc", "tmp", "proc", "sys", "dev"]) {
      mkdirSync(join(this.rootfs, name), { recursive: true });
    }
    for (const name of ["upper", "work", "merged"]) mkdirSync(join(this.directory, name));
    copyFileSync("/bin/busybox", join(this.rootfs, "bin/busybox"));
    for (const name of APPLETS.split(" ")) symlinkSync("busybox", join(this.rootfs, "bin", name));
  }

  /** A configuration like a pod's container has, running this shell command. */
  spec(command: string | string[], process: Partial<Process> = {}, linux: Partial<Linux> = {}): Spec {
    const capabilities = {
      bounding: TEST_CAPABILITIES,
      effective: TEST_CAPABILITIES,
      permitted: TEST_CAPABILITIES,
    };
    return {
      ociVersion: "1.3.0",
      process: {
        user: { uid: 0, gid: 0 },
        cwd: "/",
        args: typeof command === "string" ? ["sh", "-c", command] : command,
        env: ["PATH=/bin"],
        capabilities,
        ...process,
      },
      hostname: "box",
      mounts: [
        { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
        {
          destination: "/dev",
          type: "tmpfs",
          source: "tmpfs",
          options: ["nosuid", "strictatime", "mode=755"],
        },
        {
          destination: "/dev/pts",
          type: "devpts",
          source: "devpts",
          options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      ],
      linux: {
        namespaces: [
          { type: "pid" },
          { type: "network" },
          { type: "ipc" },
          { type: "uts" },
          { type: "mount" },
        ],
        maskedPaths: ["/proc/acpi", "/proc/interrupts", "/proc/timer_list", "/sys/firmware", "/nothing/here"],
        readonlyPaths: ["/proc/sys", "/proc/sysrq-trigger", "/nothing/here"],
        ...linux,
      },
    };
  }

  options(more: Partial<PlanOptions> = {}): PlanOptions {
    const path = (name: string): string => join(this.directory, name);
    return {
      rootfs: {
        type: "overlay",
        lower: [this.rootfs],
        upper: path("upper"),
        work: path("work"),
        options: [],
      },
      cgroup: { tasksFiles: [] },
      gate: "none",
      command: "exec",
      ...more,
    };
  }

  run(spec: Spec, more: Partial<PlanOptions> = {}, args?: string[], stdin?: string): Promise<Launched> {
    return launchPlan(compilePlan(spec, this.options(more)), args, stdin);
  }

  dispose(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
