/** Runs the native launcher (`gantry-shim launch`) with a plan, for commands that leave and for those that stay. */
import { errnoCode, GantryError } from "../../base/errors.ts";
import { shimProgram } from "../../native/addon.ts";
import { launchProgramAddon } from "../../native/launch-program.ts";
import { decodeLaunchResult, explainPlanError, LAUNCH_RESULT_BYTES } from "../plan-explain.ts";

export interface LaunchOptions {
  plan: Uint8Array;
  /** Where the master of a terminal is sent. */
  consoleSocket?: string;
  /** For exec: init of the container. */
  joinPid?: number;
  /** Descriptors 3 … 3+n-1 of this process go on to the container. */
  preserveFds: number;
}

export interface LaunchedChild {
  pid: number;
  /** To the launcher, which passes it on; nothing where it has ended. */
  signal(signal: NodeJS.Signals): void;
  /** As the process ends: 128 plus the signal's number for a death by signal. */
  exitCode: Promise<number>;
}

/** @throws GantryError with the failing step of the plan in words. */
function run(options: LaunchOptions, stays: boolean): { pid: number; launcher: number } {
  const { plan, preserveFds, joinPid, consoleSocket } = options;
  const args = ["launch", "--plan-fd", String(3 + preserveFds), "--result-fd", String(4 + preserveFds)];
  if (joinPid !== undefined) args.push("--join-pid", String(joinPid));
  if (consoleSocket !== undefined) args.push("--console-socket", consoleSocket);
  if (stays) args.push("--wait");
  const { pid: launcher, result: bytes } = launchProgramAddon.launchProgram(
    shimProgram,
    args,
    plan,
    preserveFds,
    stays,
  );
  if (bytes.length < LAUNCH_RESULT_BYTES)
    throw new GantryError("internal", "the launcher died before the container's process was made");
  const result = decodeLaunchResult(bytes);
  if ("error" in result) throw explainPlanError(plan, result.error);
  return { pid: result.pid, launcher };
}

/** Launches and returns; the process goes on as a child of whoever reaps orphans. */
export function launch(options: LaunchOptions): number {
  return run(options, false).pid;
}

/** Launches and stays connected: the launcher waits for the process. */
export function launchAndStay(options: LaunchOptions): LaunchedChild {
  const { pid, launcher } = run(options, true);
  const exitCode = launchProgramAddon.awaitProgram(launcher);
  let ended = false;
  exitCode.then(
    () => (ended = true),
    () => (ended = true),
  );
  const signal = (name: NodeJS.Signals): void => {
    if (ended) return;
    try {
      process.kill(launcher, name);
    } catch (error) {
      if (errnoCode(error) !== "ESRCH") throw error;
    }
  };
  return { pid, signal, exitCode };
}
