/**
 * The network by CNI plugins (specification 1.1): pods are attached to the networks that /etc/cni/net.d configures.
 *
 *   setup      record ──▶ ADD of each network, in order ──▶ results cached (cni-cache.ts)
 *   teardown   DEL of each, in reverse, with the cached results ──▶ record deleted
 *   collect    plugins of an earlier daemon ended ──▶ DEL for pods that are gone ──▶ GC ──▶ CHECK of the others
 *
 * The loopback is up when a namespace is made, so that no plugin is run for it. A pod is torn down with the
 * configuration it was made with. What cannot be torn down and belongs to no pod is tried again from time to time.
 */
import { abortable } from "../base/abort.ts";
import { errorMessage, GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { Logger } from "../base/logger.ts";
import { KeyedMutex } from "../base/mutex.ts";
import { SharedLock } from "../base/shared-lock.ts";
import { capabilityArgs, cniArgs } from "./cni-arguments.ts";
import { CniCache, type CniAttachment } from "./cni-cache.ts";
import { CniChain } from "./cni-chain.ts";
import { readKeptConf } from "./cni-conf.ts";
import { CniConfWatch } from "./cni-conf-watch.ts";
import { publishedNamespace, publishNamespace, withdrawNamespace } from "./cni-namespace.ts";
import { CniPlugins } from "./cni-plugin.ts";
import { CniSweep } from "./cni-sweep.ts";
import type { CniRecordTable, PodCidrTable } from "./cni-records.ts";
import { cniResultIps } from "./cni-result.ts";
import { CniStatus } from "./cni-status.ts";
import { TEMPLATED_CONF, writeTemplatedConf } from "./cni-template.ts";
import { CniVersions } from "./cni-versions.ts";
import type { JsonObject } from "./json-value.ts";
import type { PodNetwork, PodNetworkRequest, PodNetworkResult } from "./pod-network.ts";

export interface CniNetworkOptions {
  /** "/etc/cni/net.d". Need not exist. */
  confDirectory: string;
  /** Where plugins are looked for, in this order. */
  pluginDirectories: readonly string[];
  /** "/var/lib/cni": cached results. */
  cacheDirectory: string;
  /** "/run/netns": where namespaces get a name for the plugins; empty: they have the engine's. */
  netnsDirectory: string;
  /** How many networks a pod is attached to: eth0, eth1, …; 0: to all. */
  maxNetworks: number;
  /** A file to make a configuration from; empty: none. */
  confTemplate: string;
  /** For one call of one plugin. */
  pluginTimeoutMs: number;
  /** How often detaching is tried again that failed. Absent: every 30 seconds. */
  retryMs?: number;
  records: CniRecordTable;
  podCidrs: PodCidrTable;
  log: Logger;
}

/** For undoing what failed, when the caller may be gone. */
const UNDO_MS = 30_000;
/** So long a starting daemon waits for its plugins to say that they are ready; they may say it later. */
const FIRST_STATUS_MS = 1_000;
const RETRY_MS = 30_000;
/** So long it waits for what is left of gone pods. */
const COLLECT_MS = 5_000;
const REASON = "NetworkPluginNotReady";

interface CniPodState {
  attachments: { network: string; ifName: string; result: JsonObject }[];
}

/** Begins to read the configuration. */
export function createCniNetwork(options: CniNetworkOptions): PodNetwork {
  return new CniNetwork(options);
}

class CniNetwork implements PodNetwork {
  readonly name = "cni";
  readonly #options: CniNetworkOptions;
  readonly #records: CniRecordTable;
  readonly #log: Logger;
  readonly #cache: CniCache;
  readonly #plugins: CniPlugins;
  readonly #chain: CniChain;
  readonly #conf: CniConfWatch;
  readonly #status: CniStatus;
  readonly #sweep: CniSweep;
  readonly #pods = new KeyedMutex();
  /** Alone for GC, as the specification asks. */
  readonly #lock = new SharedLock();

  constructor(options: CniNetworkOptions) {
    const { log, records, pluginDirectories: directories, pluginTimeoutMs: timeoutMs } = options;
    this.#options = options;
    this.#log = log;
    this.#records = records;
    this.#cache = new CniCache(options.cacheDirectory);
    this.#plugins = new CniPlugins({ directories, timeoutMs, log });
    this.#chain = new CniChain(this.#plugins, this.#cache);
    this.#status = new CniStatus(this.#chain);
    const versions = new CniVersions(this.#plugins, log);
    this.#sweep = new CniSweep({
      directories,
      retryMs: options.retryMs ?? RETRY_MS,
      records,
      cache: this.#cache,
      chain: this.#chain,
      lock: this.#lock,
      log,
      detach: (id, signal) => this.#exclusively(id, signal, () => this.#detach(id, signal)),
      exclusively: (id, signal, work) => this.#exclusively(id, signal, work),
    });
    this.#conf = new CniConfWatch({
      directory: options.confDirectory,
      limit: options.maxNetworks,
      chooseVersion: (candidates, types) => versions.choose(candidates, types),
      log,
      onChange: () => {
        void this.#status.use(this.#conf.current);
        this.#sweep.networks(this.#conf.current);
      },
    });
  }

  status(): { ready: boolean; reason: string; message: string } {
    const problem = this.#conf.current.length === 0 ? this.#missing() : this.#status.failure();
    if (problem === undefined) return { ready: true, reason: "", message: "" };
    return { ready: false, reason: REASON, message: problem };
  }

  describe(): Record<string, unknown> {
    return {
      cniconfig: {
        confDir: this.#options.confDirectory,
        pluginDirs: this.#plugins.directories,
        cacheDir: this.#options.cacheDirectory,
        networks: this.#conf.current.map(({ name, cniVersion, file, plugins }, index) => ({
          name,
          cniVersion,
          file,
          ifName: ifNameOf(index),
          plugins: plugins.map(({ type, capabilities }) => ({ type, capabilities })),
        })),
        podCidrs: this.#podCidrs(),
        failedChecks: this.#sweep.failedChecks(),
      },
      lastCNILoadStatus: this.#conf.failure ?? (this.#conf.current.length > 0 ? "OK" : this.#missing()),
    };
  }

  async setup(request: PodNetworkRequest, signal: AbortSignal): Promise<PodNetworkResult> {
    const { podSandboxId } = request;
    if (this.#conf.current.length === 0) await this.#conf.reload();
    const networks = this.#conf.current;
    if (networks.length === 0) throw new GantryError("unavailable", this.#missing());
    const { netnsDirectory } = this.#options;
    const published = netnsDirectory === "" ? undefined : publishedNamespace(netnsDirectory, podSandboxId);
    const attachments = networks.map(({ name, text }, index): CniAttachment => ({
      containerId: podSandboxId,
      network: name,
      ifName: ifNameOf(index),
      netnsPath: published ?? request.netnsPath,
      args: cniArgs(request),
      capabilityArgs: capabilityArgs(request, this.#podCidrs()),
      configuration: text,
    }));
    return this.#exclusively(podSandboxId, signal, async () => {
      // A repeated set-up starts anew.
      await this.#detach(podSandboxId, signal);
      for (const network of networks) await this.#chain.requirePlugins(network);
      this.#records.put(podSandboxId, { attachments, ...(published !== undefined && { published }) });
      failpoint("cni-setup:record");
      try {
        if (published !== undefined) await publishNamespace(request.netnsPath, published);
        failpoint("cni-setup:namespace");
        const state: CniPodState = { attachments: [] };
        for (const [index, network] of networks.entries()) {
          const attachment = attachments[index] as CniAttachment;
          const result = await this.#chain.add(network, attachment, signal);
          state.attachments.push({ network: network.name, ifName: attachment.ifName, result });
        }
        failpoint("cni-setup:add");
        signal.throwIfAborted();
        const [primary] = state.attachments;
        const ips = primary ? cniResultIps(primary.result, primary.ifName) : [];
        return { ips, interfaceName: ifNameOf(0), state };
      } catch (error) {
        await this.#undo(podSandboxId);
        throw wrapError(`network of pod sandbox "${podSandboxId}"`, error);
      }
    });
  }

  async teardown(request: PodNetworkRequest, _state: unknown, signal: AbortSignal): Promise<void> {
    const { podSandboxId } = request;
    if (this.#sweep.isAbandoned(podSandboxId)) return;
    try {
      await this.#exclusively(podSandboxId, signal, () => this.#detach(podSandboxId, signal));
    } catch (error) {
      throw wrapError(`network of pod sandbox "${podSandboxId}"`, error);
    }
  }

  abandon(podSandboxId: string): void {
    if (this.#records.get(podSandboxId)) this.#sweep.abandon(podSandboxId);
  }

  /** Waits for some seconds and not longer: what is left of gone pods may need plugins that need this daemon. */
  async collect(podSandboxIds: ReadonlySet<string>): Promise<void> {
    await this.#conf.reload();
    await this.#status.answered(FIRST_STATUS_MS);
    await this.#sweep.start(podSandboxIds, COLLECT_MS);
  }

  async setPodCidrs(podCidrs: readonly string[]): Promise<void> {
    this.#options.podCidrs.put("pod-cidrs", [...podCidrs]);
    this.#log.info({ podCidrs }, "the node's pod addresses were told");
    const { confTemplate, confDirectory } = this.#options;
    if (confTemplate === "" || podCidrs.length === 0) return;
    await this.#conf.reload();
    const foreign = this.#conf.current.some(({ file }) => !file.endsWith(`/${TEMPLATED_CONF}`));
    if (foreign || this.#conf.failure !== undefined) return;
    await writeTemplatedConf(confTemplate, confDirectory, podCidrs);
    await this.#conf.reload();
  }

  async close(): Promise<void> {
    this.#conf.close();
    this.#status.close();
    await this.#sweep.close();
  }

  /** One call at a time for a pod, and none beside GC. */
  #exclusively<T>(podSandboxId: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return this.#pods.run(podSandboxId, signal, async () => {
      await abortable(this.#sweep.orphansGone(podSandboxId), signal);
      return this.#lock.shared(signal, work);
    });
  }

  /** Nothing to do without a record. It goes last, and stays when something fails, so that it is tried again. */
  async #detach(podSandboxId: string, signal: AbortSignal): Promise<void> {
    const record = this.#records.get(podSandboxId);
    if (!record) return;
    for (const attachment of record.attachments.toReversed())
      await this.#chain.del(readKeptConf(attachment.configuration), attachment, signal);
    if (record.published !== undefined) await withdrawNamespace(record.published);
    failpoint("cni-teardown:namespace");
    this.#records.delete(podSandboxId);
    failpoint("cni-teardown:record");
  }

  async #undo(podSandboxId: string): Promise<void> {
    try {
      await this.#detach(podSandboxId, AbortSignal.timeout(UNDO_MS));
    } catch (error) {
      this.#log.warn(
        { podSandboxId, err: errorMessage(error) },
        "undoing a failed attachment failed; it is tried again",
      );
      this.#sweep.abandon(podSandboxId);
    }
  }

  #podCidrs(): string[] {
    return this.#options.podCidrs.get("pod-cidrs") ?? [];
  }

  #missing(): string {
    return this.#conf.failure ?? `no CNI configuration in ${this.#options.confDirectory}`;
  }
}

function ifNameOf(index: number): string {
  return `eth${index}`;
}
