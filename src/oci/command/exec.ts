/** `exec`: a further process in a running container. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { errnoCode, GantryError } from "../../base/errors.ts";
import { capabilityName } from "../capabilities.ts";
import { parseProcess } from "../config-check.ts";
import { planForExec } from "../container-plan.ts";
import type { Capabilities, Process } from "../runtime-spec.ts";
import { processEnvironment } from "../spec-generate.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import { containerState, containerStatus, loadContainer, type StoredContainer } from "./container-state.ts";
import { execCgroupEntries } from "./exec-cgroup.ts";
import { EXEC_OPTIONS, type ExecOptions } from "./exec-options.ts";
import { SignalForwarder, waitInForeground } from "./foreground.ts";
import { agentState, entriesWithClass, grantedProcess } from "./launch-preparation.ts";
import { launch, launchAndStay, type LaunchOptions } from "./launcher.ts";
import { writePidFile } from "./pid-file.ts";
import { ForegroundTerminal } from "./terminal.ts";

export const execCommand = declareCommand({
  arguments: ["id", "command..."],
  options: EXEC_OPTIONS,
  optionsFirst: true,
  failureStatus: 255,
  run: (context, [id, ...command], options) => exec(context, id, command, options),
});

/** Exit status of the process; 0 when detached. */
export async function exec(
  context: CommandContext,
  id: string,
  command: string[],
  options: ExecOptions,
): Promise<number> {
  const container = loadContainer(context.root, id);
  const status = containerStatus(context.root, container);
  if (status === "stopped") {
    throw new GantryError("failed-precondition", "cannot exec in a stopped container: container not running");
  }
  if (status === "paused" && !options.ignorePaused) {
    throw new GantryError(
      "failed-precondition",
      "cannot exec in a paused container (use --ignore-paused to override)",
    );
  }
  const asked = options.process ? readProcess(options.process) : execProcess(container, command, options);
  const process = grantedProcess(asked, context.log);
  if (!process.args?.length) throw new GantryError("invalid-argument", "process args cannot be empty");
  const launchOptions = {
    cgroup: entriesWithClass(
      execCgroupEntries(container.cgroupPath, container.pid, options.cgroup),
      container.spec,
      id,
    ),
    noPivot: container.noPivot,
    preserveFds: options.preserveFds,
  };
  const state = agentState(containerState(context.root, container));
  const plan = planForExec(container.spec, process, launchOptions, state);
  const common: LaunchOptions = { plan, joinPid: container.pid, preserveFds: options.preserveFds };
  const written = (pid: number): void => {
    if (options.pidFile) writePidFile(options.pidFile, pid);
  };

  if (options.consoleSocket && !(options.detach && process.terminal)) {
    throw new GantryError("invalid-argument", "--console-socket needs --detach and a terminal");
  }
  if (options.detach) {
    if (process.terminal && !options.consoleSocket) {
      throw new GantryError("invalid-argument", "cannot detach from a terminal without --console-socket");
    }
    const consoleSocket = options.consoleSocket ? { consoleSocket: resolve(options.consoleSocket) } : {};
    written(launch({ ...common, ...consoleSocket }));
    return 0;
  }
  const signals = new SignalForwarder();
  let terminal: ForegroundTerminal | undefined;
  try {
    if (process.terminal) terminal = new ForegroundTerminal(context.root);
    const child = launchAndStay({
      ...common,
      ...(terminal ? { consoleSocket: terminal.socketPath } : {}),
    });
    written(child.pid);
    terminal?.connect();
    signals.attach(child);
    const code = await waitInForeground(child, terminal);
    terminal = undefined;
    return code;
  } finally {
    await terminal?.close();
    signals.stop();
  }
}

function readProcess(path: string): Process {
  try {
    return parseProcess(readFileSync(path, "utf8"), path);
  } catch (error) {
    if (error instanceof GantryError) throw error;
    throw new GantryError("invalid-argument", `open ${path}: ${errnoCode(error) ?? String(error)}`);
  }
}

/** The container's own process with another command, and what the options change. */
export function execProcess(container: StoredContainer, command: string[], options: ExecOptions): Process {
  const own = container.spec.process;
  const base: Process = own ?? { user: { uid: 0, gid: 0 }, cwd: "/" };
  const result: Process = {
    ...base,
    args: command,
    terminal: options.tty,
    cwd: options.cwd ?? base.cwd,
    env: processEnvironment([...(base.env ?? []), ...options.env], options.tty, undefined, undefined),
  };
  if (options.user !== undefined) result.user = { ...base.user, ...parseUser(options.user) };
  if (options.additionalGids.length > 0)
    result.user = { ...result.user, additionalGids: options.additionalGids.map(parseId) };
  if (options.cap.length > 0)
    result.capabilities = withCapabilities(base.capabilities, options.cap.map(capabilityName));
  if (options.noNewPrivs) result.noNewPrivileges = true;
  if (options.apparmor !== undefined) result.apparmorProfile = options.apparmor;
  if (options.processLabel !== undefined) result.selinuxLabel = options.processLabel;
  return result;
}

/** "UID" or "UID:GID", in digits: names mean something inside the container only (CVE-2026-30892). */
function parseUser(text: string): { uid: number; gid: number } {
  const match = /^([0-9]+)(?::([0-9]+))?$/.exec(text);
  if (!match) throw new GantryError("invalid-argument", `user ${JSON.stringify(text)} is not UID or UID:GID`);
  return { uid: parseId(match[1] ?? ""), gid: parseId(match[2] ?? "0") };
}

function parseId(text: string): number {
  const id = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (!(id <= 2 ** 31 - 1))
    throw new GantryError(
      "invalid-argument",
      `id ${JSON.stringify(text)} is not between 0 and ${2 ** 31 - 1}`,
    );
  return id;
}

/** Never into the inheritable set (CVE-2022-29162). */
function withCapabilities(base: Capabilities | undefined, added: string[]): Capabilities {
  const merge = (names: string[] | undefined): string[] => [...new Set([...(names ?? []), ...added])];
  return {
    ...base,
    bounding: merge(base?.bounding),
    effective: merge(base?.effective),
    permitted: merge(base?.permitted),
  };
}
