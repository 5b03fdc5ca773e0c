/**
 * What a starting daemon puts right, beside the calls: plugins of the earlier one that still run are waited for, pods
 * that are gone are detached, the plugins collect what they know of nobody (GC), and the others' attachments are
 * checked (CHECK), which is told and no more. What could not be detached is tried again from time to time.
 *
 * None of it keeps the daemon from serving: a plugin may need a pod to do its work.
 */
import { abortable } from "../base/abort.ts";
import { errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { SharedLock } from "../base/shared-lock.ts";
import type { CniCache } from "./cni-cache.ts";
import type { CniChain } from "./cni-chain.ts";
import { readKeptConf, type CniNetworkConf } from "./cni-conf.ts";
import { presentNamespace } from "./cni-namespace.ts";
import { outliveOrphans } from "./cni-orphans.ts";
import type { CniRecordTable } from "./cni-records.ts";

const DETACH_MS = 60_000;
/** Pods wait for who waits to be alone: one that hangs is not to hold up the others. */
const GC_WAIT_MS = 10_000;
const GC_MS = 60_000;
const CHECK_MS = 30_000;
const ORPHAN_PATIENCE_MS = 5_000;

export interface CniSweepOptions {
  directories: readonly string[];
  /** Between attempts to detach what could not be detached. */
  retryMs: number;
  records: CniRecordTable;
  cache: CniCache;
  chain: CniChain;
  lock: SharedLock;
  log: Logger;
  /** Undoes all of a pod's record. */
  detach: (podSandboxId: string, signal: AbortSignal) => Promise<void>;
  /** Runs work as the only one for the pod. */
  exclusively: <T>(podSandboxId: string, signal: AbortSignal, work: () => Promise<T>) => Promise<T>;
}

export class CniSweep {
  readonly #options: CniSweepOptions;
  readonly #end = new AbortController();
  readonly #abandoned = new Set<string>();
  readonly #failedChecks = new Map<string, string>();
  #known: ReadonlySet<string> = new Set();
  #orphans: Promise<void> = Promise.resolve();
  #inherited: ReadonlySet<string> = new Set();
  #networks: readonly CniNetworkConf[] = [];
  #started = false;
  #collected = false;
  #work: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;

  constructor(options: CniSweepOptions) {
    this.#options = options;
  }

  /**
   * Once, at start. Resolves when all others are detached, or after so long; it goes on by itself then.
   *
   * @param podSandboxIds of the pods that there are.
   */
  async start(podSandboxIds: ReadonlySet<string>, patienceMs: number): Promise<void> {
    const { records, directories, log } = this.#options;
    const ids = records.list().map(({ id }) => id);
    this.#known = new Set(ids.filter((id) => podSandboxIds.has(id)));
    this.#inherited = new Set(ids);
    for (const id of ids) if (!podSandboxIds.has(id)) this.#abandoned.add(id);
    this.#orphans = outliveOrphans(this.#inherited, directories, ORPHAN_PATIENCE_MS, this.#end.signal).catch(
      (error: unknown) => log.warn({ err: errorMessage(error) }, "looking for plugins that still run failed"),
    );
    this.#started = true;
    this.#then(() => this.#detachAbandoned());
    const limit = AbortSignal.any([this.#end.signal, AbortSignal.timeout(patienceMs)]);
    await abortable(this.#work, limit).catch(() => undefined);
    this.#then(async () => {
      await this.#collect();
      for (const id of this.#known) await this.#check(id);
    });
  }

  /** Resolves when no plugin of an earlier daemon works for the pod. */
  orphansGone(podSandboxId: string): Promise<void> {
    return this.#inherited.has(podSandboxId) ? this.#orphans : Promise.resolve();
  }

  /** Networks in force; the first ones are asked to collect what is left. */
  networks(networks: readonly CniNetworkConf[]): void {
    this.#networks = networks;
    if (this.#started) this.#then(() => this.#collect());
  }

  /** A pod that never came to be, and could not be detached. */
  abandon(podSandboxId: string): void {
    this.#abandoned.add(podSandboxId);
    this.#retryLater();
  }

  isAbandoned(podSandboxId: string): boolean {
    return this.#abandoned.has(podSandboxId);
  }

  /** What CHECK said of the pods that were there at start. */
  failedChecks(): Record<string, string> {
    return Object.fromEntries(this.#failedChecks);
  }

  async close(): Promise<void> {
    this.#end.abort();
    clearTimeout(this.#retry);
    await this.#work;
  }

  #then(step: () => Promise<void>): void {
    this.#work = this.#work.then(async () => {
      if (this.#end.signal.aborted) return;
      await step().catch((error: unknown) =>
        this.#options.log.error({ err: errorMessage(error) }, "collecting CNI attachments failed"),
      );
    });
  }

  async #detachAbandoned(): Promise<void> {
    const { detach, log } = this.#options;
    for (const podSandboxId of [...this.#abandoned]) {
      const signal = AbortSignal.any([this.#end.signal, AbortSignal.timeout(DETACH_MS)]);
      try {
        await detach(podSandboxId, signal);
        this.#abandoned.delete(podSandboxId);
        log.info({ podSandboxId }, "detached a pod that is gone");
      } catch (error) {
        if (this.#end.signal.aborted) return;
        log.warn(
          { podSandboxId, err: errorMessage(error) },
          "detaching a pod that is gone failed; it is tried again",
        );
      }
    }
    if (this.#abandoned.size > 0) this.#retryLater();
  }

  #retryLater(): void {
    clearTimeout(this.#retry);
    if (this.#end.signal.aborted) return;
    const again = async (): Promise<void> => {
      await this.#detachAbandoned();
      await this.#collect();
    };
    this.#retry = setTimeout(() => this.#then(again), this.#options.retryMs).unref();
  }

  /** Once for each daemon. Attachments of other runtimes to the same network are theirs, and valid. */
  async #collect(): Promise<void> {
    const { lock, cache, chain, records, log } = this.#options;
    if (this.#collected || this.#networks.length === 0) return;
    this.#collected = true;
    const signal = AbortSignal.any([this.#end.signal, AbortSignal.timeout(GC_MS)]);
    const wait = AbortSignal.any([this.#end.signal, AbortSignal.timeout(GC_WAIT_MS)]);
    const collect = async (): Promise<void> => {
      const own = records.list().flatMap(({ record }) => record.attachments);
      for (const network of this.#networks) {
        const valid = [
          ...own
            .filter((attachment) => attachment.network === network.name)
            .map(({ containerId, ifName }) => ({ containerID: containerId, ifname: ifName })),
          ...(await cache.attachmentsOf(network.name)),
        ];
        const unique = [...new Map(valid.map((one) => [`${one.containerID} ${one.ifname}`, one])).values()];
        await chain.gc(network, unique, signal).catch((error: unknown) => {
          if (!this.#end.signal.aborted)
            log.warn({ err: errorMessage(error) }, "CNI garbage collection failed");
        });
      }
    };
    await lock.alone(wait, collect).catch((error: unknown) => {
      this.#collected = false;
      this.#retryLater();
      throw error;
    });
  }

  async #check(podSandboxId: string): Promise<void> {
    const { exclusively, records, chain, log } = this.#options;
    if (this.#end.signal.aborted) return;
    const signal = AbortSignal.any([this.#end.signal, AbortSignal.timeout(CHECK_MS)]);
    try {
      await exclusively(podSandboxId, signal, async () => {
        for (const attachment of records.get(podSandboxId)?.attachments ?? [])
          // Without its namespace, after a reboot, there is nothing to be checked.
          if (presentNamespace(attachment.netnsPath) !== "")
            await chain.check(readKeptConf(attachment.configuration), attachment, signal);
      });
    } catch (error) {
      if (this.#end.signal.aborted) return;
      this.#failedChecks.set(podSandboxId, errorMessage(error));
      log.warn({ podSandboxId, err: errorMessage(error) }, "the pod's network is not as it was made");
    }
  }
}
