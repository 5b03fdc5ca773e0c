/**
 * Running a hook outside a launch: poststart and poststop (config.md, "POSIX-platform Hooks"); the others are steps of the
 * plan. A hook gets the container's state on its standard input, its own environment and no other (CVE-2025-23266), the
 * bundle as its directory, and a session of its own, so that what it starts ends with it when its time is over.
 */
import { once } from "node:events";
import { errnoCode, errorMessage, GantryError } from "../base/errors.ts";
import { hookEnvironment, hookTimeoutMs, hookWords } from "./plan-hooks.ts";
import type { Hook } from "./runtime-spec.ts";

const OUTPUT_LIMIT = 1024;

/**
 * @param state what the hook reads, without what only its text needs.
 * @param signal ends it, and rejects with its reason.
 * @throws GantryError failed-precondition when it fails, with the end of what it said.
 */
export async function runHook(
  kind: string,
  hook: Hook,
  state: { bundle: string },
  signal?: AbortSignal,
): Promise<void> {
  const [argv0 = hook.path, ...args] = hook.args ?? [];
  const fail = (reason: string): never => {
    throw new GantryError("failed-precondition", `${kind} hook ${hook.path}: ${reason}`);
  };
  // Loaded with the first hook: it takes milliseconds, and few containers have any.
  const { spawn } = process.getBuiltinModule("node:child_process");
  const child = spawn(hook.path, args, {
    argv0,
    env: hookEnvironment(hook),
    cwd: state.bundle,
    stdio: ["pipe", "ignore", "pipe"],
    detached: true,
  });
  const timeout = hook.timeout ? AbortSignal.timeout(hookTimeoutMs(hook)) : undefined;
  const ends = [signal, timeout].filter((end) => end !== undefined);
  const kill = (): void => killSession(child.pid);
  for (const end of ends) end.addEventListener("abort", kill);
  if (signal?.aborted) kill();
  // A hook need not read its input.
  child.stdin.on("error", () => undefined).end(JSON.stringify(state));
  let output = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    output = `${output}${chunk}`.slice(-OUTPUT_LIMIT);
  });
  try {
    const [code, killedBy] = (await once(child, "exit")) as [number | null, string | null];
    signal?.throwIfAborted();
    if (timeout?.aborted) fail(`did not end in ${hook.timeout} s`);
    if (code === 0) return;
    await new Promise(setImmediate);
    fail(`${killedBy ? `signal ${killedBy}` : `exit status ${code}`}${hookWords(output)}`);
  } catch (error) {
    if (error instanceof GantryError) throw error;
    signal?.throwIfAborted();
    fail(errorMessage(error));
  } finally {
    for (const end of ends) end.removeEventListener("abort", kill);
    // What a process it left behind may still write is not waited for.
    child.stderr.destroy();
  }
}

function killSession(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (errnoCode(error) !== "ESRCH") throw error;
  }
}
