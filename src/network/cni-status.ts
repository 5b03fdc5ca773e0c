/**
 * Whether the networks in force can serve pods: their plugins exist, and say so where they speak STATUS. The answer
 * is kept for some seconds, since the kubelet asks often; who asks for a stale one gets it, and has it renewed.
 */
import { abortable, delay } from "../base/abort.ts";
import { errorMessage } from "../base/errors.ts";
import type { CniChain } from "./cni-chain.ts";
import type { CniNetworkConf } from "./cni-conf.ts";

const FRESH_MS = 5_000;
const LIMIT_MS = 10_000;

export class CniStatus {
  readonly #chain: CniChain;
  #networks: readonly CniNetworkConf[] = [];
  #failure: string | undefined = "the CNI plugins have not been asked yet";
  #askedAt = -Infinity;
  #asking: Promise<void> | undefined;
  readonly #end = new AbortController();

  constructor(chain: CniChain) {
    this.#chain = chain;
  }

  /** Asks about other networks from now on; until they have answered, what was true of those before holds. */
  async use(networks: readonly CniNetworkConf[]): Promise<void> {
    this.#networks = networks;
    await this.#asking;
    await this.#renew();
  }

  /** Why a pod could not be connected, when last asked; undefined where it could. */
  failure(): string | undefined {
    if (performance.now() - this.#askedAt > FRESH_MS) void this.#renew();
    return this.#failure;
  }

  /** Resolves when what runs has been answered, or after so long. */
  async answered(timeoutMs: number): Promise<void> {
    await delay(0, this.#end.signal).catch(() => undefined);
    const limit = AbortSignal.any([this.#end.signal, AbortSignal.timeout(timeoutMs)]);
    await abortable(this.#asking ?? Promise.resolve(), limit).catch(() => undefined);
  }

  close(): void {
    this.#end.abort();
  }

  #renew(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  async #ask(): Promise<void> {
    const networks = this.#networks;
    const signal = AbortSignal.any([this.#end.signal, AbortSignal.timeout(LIMIT_MS)]);
    let failure: string | undefined;
    try {
      for (const network of networks) await this.#chain.status(network, signal);
    } catch (error) {
      failure = errorMessage(error);
    }
    this.#askedAt = performance.now();
    if (networks === this.#networks) this.#failure = failure;
  }
}
