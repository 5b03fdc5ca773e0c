/** Waiting that ends when the caller has gone. */

/** Longest wait that a Node timer can do, 24.8 days. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The promise's result, or the signal's reason if that comes first. The work itself goes on. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    // The work goes on: its failure is nobody's, and must not count as one that nobody caught.
    promise.catch(() => undefined);
    throw signal.reason as Error;
  }
  const gone = Promise.withResolvers<never>();
  const leave = (): void => gone.reject(signal.reason as Error);
  signal.addEventListener("abort", leave, { once: true });
  try {
    return await Promise.race([promise, gone.promise]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

/** Resolves after the delay, rejects with the signal's reason when it aborts first. */
export async function delay(ms: number, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  try {
    await abortable(new Promise<void>((resolve) => (timer = setTimeout(resolve, ms))), signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves after the delay. As that of node:timers/promises, which takes a millisecond to load. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
