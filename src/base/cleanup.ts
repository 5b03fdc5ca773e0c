/**
 * The one way to undo a half-made thing: a stack of clean-ups, run last in, first out.
 *
 * A step pushes how to undo itself once it has succeeded; when the whole has succeeded the stack is disarmed.
 * Every clean-up runs even if an earlier one fails. Use it with `await using`, so that leaving the block by an
 * error, an abort or a return undoes what was not kept.
 */
import { errorMessage } from "./errors.ts";

export type CleanupStep = () => void | Promise<void>;

export class CleanupStack implements AsyncDisposable {
  #steps: { name: string; step: CleanupStep }[] = [];
  readonly #onFailure: (name: string, error: unknown) => void;

  /** @param onFailure told of each clean-up that failed; the others run all the same. */
  constructor(onFailure: (name: string, error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** @param name what is undone, for the report of a failure: "unmount shm". */
  push(name: string, step: CleanupStep): void {
    this.#steps.push({ name, step });
  }

  /** All went well: nothing is to be undone. */
  disarm(): void {
    this.#steps = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let entry = this.#steps.pop(); entry; entry = this.#steps.pop()) {
      try {
        await entry.step();
      } catch (error) {
        this.#onFailure(entry.name, error);
      }
    }
  }
}

/**
 * As Promise.all, but rejects only when all of them have ended: one that still ran would go on making what the clean-up
 * after the rejection takes away, or make it afterwards.
 */
export async function allEnded(works: readonly Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(works))
    if (outcome.status === "rejected") throw outcome.reason as Error;
}

/** Runs all steps in order, whether or not one fails; rejects with every failure in one message. */
export async function runAll(steps: readonly { name: string; step: CleanupStep }[]): Promise<void> {
  const failures: unknown[] = [];
  for (const { name, step } of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(new Error(`${name}: ${errorMessage(error)}`, { cause: error }));
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, failures.map(errorMessage).join("; "));
}
