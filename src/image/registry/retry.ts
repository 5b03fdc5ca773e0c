/**
 * Trying again: exponential back-off with jitter, and the wait that a host asks for.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { RegistryFailure } from "./failure.ts";

export interface RetryPolicy {
  /** Tries in all, at least 1. */
  attempts: number;
  /** The first wait in milliseconds; each further one is twice as long. */
  baseDelayMs: number;
  /** The longest wait; a host that asks for a longer one is not tried again. */
  maxDelayMs: number;
}

/** How long to wait before try number `attempt` + 1 (counted from 1); undefined where there is to be none. */
export function retryDelay(policy: RetryPolicy, attempt: number, error: unknown): number | undefined {
  if (attempt >= policy.attempts || !(error instanceof RegistryFailure) || !error.transient) return undefined;
  if (error.retryAfterMs !== undefined && error.retryAfterMs > policy.maxDelayMs) return undefined;
  const backOff =
    Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
  return Math.max(backOff, error.retryAfterMs ?? 0);
}

/** Does the work until it succeeds, fails for good, or the policy is exhausted. */
export async function withRetries<T>(
  policy: RetryPolicy,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const delay = retryDelay(policy, attempt, error);
      if (delay === undefined) throw error;
      await pause(delay, signal);
    }
  }
}

/** @throws the reason of the signal, as soon as it aborts. */
export async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(delayMs, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
