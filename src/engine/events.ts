/**
 * The changes in the lives of pods and containers, told to whoever listens.
 *
 *   record written ─▶ event, with the pod and its containers as they are at that moment ─▶ each subscriber's queue
 *
 * An event is told after its change is in the store, in the order of the changes. Nothing is replayed: who comes, or
 * comes back, lists first. A subscriber that does not keep up loses its subscription and is told so; it never holds up
 * a change, and never misses an event without knowing. While nobody listens an event costs one comparison.
 */
import { GantryError } from "../base/errors.ts";
import { wallClockNs } from "./clock.ts";
import type { ContainerEntry, ContainerTable } from "./container-table.ts";
import type { Container } from "./container.ts";
import type { PodSandboxEntry, PodSandboxTable } from "./pod-sandbox-table.ts";
import type { PodSandbox } from "./pod-sandbox.ts";

export type LifecycleChange = "created" | "started" | "stopped" | "deleted";

export interface LifecycleEvent {
  /** Of the container, or of the pod sandbox, that has changed. */
  id: string;
  change: LifecycleChange;
  /** Nanoseconds since the epoch; later than that of any event before. */
  atNs: bigint;
  /** The pod sandbox after the change; a deleted one as it last was. */
  podSandbox: PodSandbox;
  /** The containers that it has after the change. */
  containers: Container[];
}

/**
 * What may wait for a subscriber, in states: an event of a pod with n containers has n + 1. That is some MiB, and a
 * kubelet that starts 250 pods of one container at once causes about 2000.
 */
export const EVENT_QUEUE_LIMIT = 8192;

export class EventSource {
  readonly #subscriptions = new Set<Subscription>();
  /** Pods whose end has been told; its stop is done in steps, and may come after its pause process died. */
  readonly #stopped = new WeakSet<PodSandbox>();
  readonly #pods: PodSandboxTable;
  readonly #containers: ContainerTable;

  constructor(pods: PodSandboxTable, containers: ContainerTable) {
    this.#pods = pods;
    this.#containers = containers;
  }

  container(change: LifecycleChange, { container }: ContainerEntry): void {
    if (this.#subscriptions.size === 0) return;
    const pod = this.#pods.find(container.podSandboxId);
    if (pod) this.#tell(change, container.id, pod.sandbox);
  }

  /** A pod is told to have stopped once. */
  pod(change: LifecycleChange, { sandbox }: PodSandboxEntry): void {
    if (change === "stopped") {
      if (this.#stopped.has(sandbox)) return;
      this.#stopped.add(sandbox);
    }
    if (this.#subscriptions.size > 0) this.#tell(change, sandbox.id, sandbox);
  }

  /**
   * Every event from this call on, until the signal aborts; then it throws the signal's reason.
   * @throws resource-exhausted when the queue has run over; what is missed is not known then.
   */
  subscribe(signal: AbortSignal): AsyncGenerator<LifecycleEvent, void, undefined> {
    signal.throwIfAborted();
    const subscription = new Subscription();
    const leave = (): void => {
      this.#subscriptions.delete(subscription);
      subscription.end(signal.reason);
    };
    this.#subscriptions.add(subscription);
    signal.addEventListener("abort", leave, { once: true });
    return subscription.read(() => {
      signal.removeEventListener("abort", leave);
      this.#subscriptions.delete(subscription);
    });
  }

  #tell(change: LifecycleChange, id: string, sandbox: PodSandbox): void {
    // Copies of the first level: what hangs below is replaced and never changed.
    const containers = this.#containers.ofPod(sandbox.id).map(({ container }) => ({ ...container }));
    const event = { id, change, atNs: wallClockNs(), podSandbox: { ...sandbox }, containers };
    for (const subscription of this.#subscriptions)
      if (!subscription.push(event)) this.#subscriptions.delete(subscription);
  }
}

function statesIn({ containers }: LifecycleEvent): number {
  return containers.length + 1;
}

class Subscription {
  #queue: LifecycleEvent[] = [];
  #states = 0;
  #end: { reason: unknown } | undefined;
  #wake: (() => void) | undefined;

  /** False where the event did not fit and the subscription has ended by it. */
  push(event: LifecycleEvent): boolean {
    this.#states += statesIn(event);
    if (this.#states > EVENT_QUEUE_LIMIT) {
      const missed = this.#queue.length + 1;
      this.end(new GantryError("resource-exhausted", `events: ${missed} were not taken in time`));
      return false;
    }
    this.#queue.push(event);
    this.#wake?.();
    return true;
  }

  end(reason: unknown): void {
    this.#queue = [];
    this.#end ??= { reason };
    this.#wake?.();
  }

  async *read(done: () => void): AsyncGenerator<LifecycleEvent, void, undefined> {
    try {
      for (;;) {
        const event = this.#queue.shift();
        if (event) {
          this.#states -= statesIn(event);
          yield event;
        } else if (this.#end) throw this.#end.reason as Error;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      done();
    }
  }
}
