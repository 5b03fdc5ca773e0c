/** Runs the native launcher (`gantry-shim launch`) with a plan, for commands that leave and for those that stay. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { GantryError } from "../../base/errors.ts";
import { shimProgram } from "../../native/addon.ts";
import { decodeLaunchResult, explainPlanError } from "../plan-explain.ts";

/** sizeof(struct launch_result). */
const RESULT_BYTES = 304;

export interface LaunchOptions {
  plan: Uint8Array;
  /** A private directory for the plan and the result on their way. */
  directory: string;
  /** Where the master of a terminal is sent. */
  consoleSocket?: string;
  /** For exec: init of the container. */
  joinPid?: number;
  /** Descriptors 3 … 3+n-1 of this process go on to the container. */
  preserveFds: number;
}

interface Prepared {
  args: string[];
  stdio: number[];
  resultPath: string;
  close(): void;
}

function prepare(options: LaunchOptions): Prepared {
  const directory = mkdtempSync(join(options.directory, "launch-"));
  const planPath = join(directory, "plan");
  const resultPath = join(directory, "result");
  writeFileSync(planPath, options.plan, { mode: 0o600 });
  const planFd = openSync(planPath, "r");
  const resultFd = openSync(resultPath, "w", 0o600);
  const preserved = Array.from({ length: options.preserveFds }, (_, index) => 3 + index);
  const stdio = [0, 1, 2, ...preserved, planFd, resultFd];
  const args = [
    "launch",
    "--plan-fd",
    String(3 + options.preserveFds),
    "--result-fd",
    String(4 + options.preserveFds),
  ];
  if (options.joinPid !== undefined) args.push("--join-pid", String(options.joinPid));
  if (options.consoleSocket !== undefined) args.push("--console-socket", options.consoleSocket);
  const close = (): void => {
    closeSync(planFd);
    closeSync(resultFd);
    rmSync(directory, { recursive: true, force: true });
  };
  return { args, stdio, resultPath, close };
}

/** Pid of the launched process. @throws GantryError with the failing step of the plan in words. */
function outcome(plan: Uint8Array, resultPath: string, status: string): number {
  const bytes = readFileSync(resultPath);
  if (bytes.length < RESULT_BYTES) throw new GantryError("internal", `the launcher failed: ${status}`);
  const result = decodeLaunchResult(bytes);
  if ("error" in result) throw explainPlanError(plan, result.error);
  return result.pid;
}

/** Launches and returns; the process goes on as a child of whoever reaps orphans. */
export function launch(options: LaunchOptions): number {
  const prepared = prepare(options);
  try {
    const { status, signal, error } = spawnSync(shimProgram, prepared.args, {
      stdio: prepared.stdio,
      env: {},
    });
    if (error) throw error;
    return outcome(options.plan, prepared.resultPath, signal ?? `exit status ${status}`);
  } finally {
    prepared.close();
  }
}

export interface LaunchedChild {
  pid: number;
  /** Passes signals on, and ends as the process ends. */
  launcher: ChildProcess;
  exitCode: Promise<number>;
}

/** Launches and stays connected: the launcher waits for the process. */
export async function launchAndStay(options: LaunchOptions): Promise<LaunchedChild> {
  const prepared = prepare(options);
  try {
    const launcher = spawn(shimProgram, [...prepared.args, "--wait"], {
      stdio: prepared.stdio,
      env: {},
      detached: true,
    });
    const { promise: exitCode, resolve, reject } = Promise.withResolvers<number>();
    let ended: string | undefined;
    launcher.on("exit", (code, signal) => {
      ended = signal ?? `exit status ${code}`;
      resolve(code ?? 255);
    });
    launcher.on("error", reject);
    exitCode.catch(() => undefined);
    while (ended === undefined && readFileSync(prepared.resultPath).length < RESULT_BYTES) {
      await Promise.race([sleep(1), exitCode]);
    }
    return { pid: outcome(options.plan, prepared.resultPath, ended ?? ""), launcher, exitCode };
  } finally {
    prepared.close();
  }
}
