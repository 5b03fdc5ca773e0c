/** The hooks that a command runs itself: poststart and poststop. */
import { errorMessage } from "../../base/errors.ts";
import { runHook } from "../hook-run.ts";
import type { Spec } from "../runtime-spec.ts";
import type { CommandLog } from "./command-context.ts";

/** What a hook reads: the state of the specification. */
export type HookState = { bundle: string };

/** @throws GantryError failed-precondition for the first hook that fails; later ones do not run. */
export async function runPoststartHooks(spec: Spec, state: HookState): Promise<void> {
  for (const hook of spec.hooks?.poststart ?? []) await runHook("poststart", hook, state);
}

/** A failure is logged, and the next hook runs (runtime.md, "Lifecycle"). */
export async function runPoststopHooks(spec: Spec, state: HookState, log: CommandLog): Promise<void> {
  for (const hook of spec.hooks?.poststop ?? []) {
    try {
      await runHook("poststop", hook, state);
    } catch (error) {
      log.warn(errorMessage(error));
    }
  }
}
