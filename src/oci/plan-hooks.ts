/** Operations for the hooks that run while a container is being created and started. */
import { LONGEST_TIMER_MS } from "../base/abort.ts";
import type { PlanWriter } from "./plan.ts";
import type { Hook } from "./runtime-spec.ts";

/**
 * The state a hook reads on its standard input (runtime.md, "State"), in two parts: the native half puts the pid
 * between them, which nobody knows before. All hooks of a plan come after step 2 of the lifecycle, which makes the
 * environment, and before the command: the status between them is "created".
 */
function hookState(state: Record<string, unknown>): { prefix: string; suffix: string } {
  const text = JSON.stringify({ ...state, status: "created" });
  return { prefix: `${text.slice(0, -1)},"pid":`, suffix: "}" };
}

/** The environment that a hook run outside a launch has: what it names, and nothing else (CVE-2025-23266). */
export function hookEnvironment({ env = [] }: Hook): Record<string, string> {
  return Object.fromEntries(
    env
      .filter((entry) => entry.includes("="))
      .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
}

/** 0: none. What is longer than a timer can be is as long as one can be. */
export function hookTimeoutMs({ timeout = 0 }: Hook): number {
  return Math.min(Math.max(0, Math.round(timeout * 1000)), LONGEST_TIMER_MS);
}

/** Of no script, or cut off in its middle. */
const UNPRINTABLE = /[\s\p{C}\ufffd]+/gu;

/** What a failing hook has said, to follow the reason in an error: on one line, printable, or empty. */
export function hookWords(said = ""): string {
  const words = said.replace(UNPRINTABLE, " ").trim();
  return words && `: ${words}`;
}

/** "parentHook": in the launcher's namespaces; "hook": in the process's. `directory`: to run them in. */
export function addHooks(
  plan: PlanWriter,
  operation: "hook" | "parentHook",
  hooks: readonly Hook[] | undefined,
  state: Record<string, unknown>,
  directory: string,
): void {
  const { prefix, suffix } = hookState(state);
  for (const hook of hooks ?? []) {
    plan.add(operation, {
      timeoutMs: hookTimeoutMs(hook),
      path: hook.path,
      args: hook.args?.length ? hook.args : [hook.path],
      env: hook.env ?? [],
      directory,
      statePrefix: prefix,
      stateSuffix: suffix,
    });
  }
}
