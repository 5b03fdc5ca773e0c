/**
 * The pool of unpack workers. A thread starts when the others have work and ends when it has had none for a while, so an
 * idle daemon pays nothing. See unpack-contract.ts for the contract and unpack-messages.ts for what is said.
 */
import { Worker } from "node:worker_threads";
import { GantryError, errorMessage } from "../../base/errors.ts";
import { BLOB_BLOCK_BYTES, BlockFeeder } from "./block-feeder.ts";
import type { FromWorker, ToWorker } from "./unpack-messages.ts";
import type { UnpackRequest, UnpackResult, Unpacker, UnpackerOptions } from "./unpack-contract.ts";

interface Job {
  feeder: BlockFeeder;
  outcome: PromiseWithResolvers<UnpackResult>;
  description: string;
}

class PoolWorker {
  readonly jobs = new Map<number, Job>();
  readonly #worker: Worker;
  #idleTimer: NodeJS.Timeout | undefined;
  readonly #onExit: (worker: PoolWorker) => void;

  constructor(url: URL, onExit: (worker: PoolWorker) => void) {
    this.#onExit = onExit;
    this.#worker = new Worker(url, { name: "gantry-unpack" });
    this.#worker.unref();
    this.#worker.on("message", (message: FromWorker) => this.#receive(message));
    this.#worker.on("error", (error) =>
      this.#lost(new GantryError("internal", `unpack worker: ${errorMessage(error)}`)),
    );
    this.#worker.on("exit", () => this.#lost(new GantryError("unavailable", "unpack worker has ended")));
  }

  send(message: ToWorker, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  begin(id: number, job: Job): void {
    clearTimeout(this.#idleTimer);
    this.jobs.set(id, job);
    this.#worker.ref();
  }

  finish(id: number, idleMs: number): void {
    this.jobs.delete(id);
    if (this.jobs.size > 0) return;
    this.#worker.unref();
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => void this.end(), idleMs);
    this.#idleTimer.unref();
  }

  async end(): Promise<void> {
    clearTimeout(this.#idleTimer);
    this.#onExit(this);
    await this.#worker.terminate();
  }

  #receive(message: FromWorker): void {
    const job = this.jobs.get(message.job);
    if (!job) return;
    if (message.type === "consumed") job.feeder.consumed(message.block);
    else if (message.type === "done") {
      const { blobDigest, diffId, usage } = message;
      job.outcome.resolve({ blobDigest, diffId, usage });
    } else job.outcome.reject(new GantryError(message.kind, `${job.description}: ${message.message}`));
  }

  #lost(error: GantryError): void {
    this.#onExit(this);
    for (const job of this.jobs.values()) job.outcome.reject(error);
  }
}

class WorkerPool implements Unpacker {
  readonly #options: Required<UnpackerOptions>;
  readonly #workers = new Set<PoolWorker>();
  #nextJob = 1;
  #closed = false;

  constructor(options: Required<UnpackerOptions>) {
    this.#options = options;
  }

  async unpack(request: UnpackRequest, signal: AbortSignal): Promise<UnpackResult> {
    signal.throwIfAborted();
    if (this.#closed) throw new GantryError("unavailable", "unpacker is closed");
    const {
      source,
      compression,
      directory,
      whiteouts,
      expectedBlobDigest,
      expectedSizeBytes,
      expectedDiffId,
    } = request;
    const worker = this.#pick();
    const id = this.#nextJob++;
    const outcome = Promise.withResolvers<UnpackResult>();
    const feeder = new BlockFeeder(source, {
      maxBlocks: Math.max(2, Math.ceil(this.#options.inFlightBytes / BLOB_BLOCK_BYTES)),
      send: (block, length) => worker.send({ type: "block", job: id, block, length }, [block]),
    });
    worker.begin(id, { feeder, outcome, description: `layer ${expectedDiffId}` });
    const abort = (): void => feeder.stop(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    // A worker that failed, or is gone, needs no more of the source.
    outcome.promise.catch((error: unknown) => feeder.stop(error));
    try {
      worker.send({
        type: "start",
        job: id,
        request: {
          compression,
          directory,
          whiteouts,
          expectedBlobDigest,
          expectedSizeBytes,
          expectedDiffId,
          keepBlob: request.keepBlob,
        },
      });
      try {
        await feeder.run();
        worker.send({ type: "end", job: id });
        return await this.#outcomeOrAbort(outcome.promise, feeder);
      } catch (error) {
        // The source's own failure, an abort, or what the worker said: in each case it has stopped before this rejects.
        worker.send({ type: "stop", job: id });
        await outcome.promise.then(undefined, () => undefined);
        throw error;
      }
    } finally {
      signal.removeEventListener("abort", abort);
      worker.finish(id, this.#options.idleMs);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#workers].map(async (worker) => worker.end()));
  }

  async #outcomeOrAbort(outcome: Promise<UnpackResult>, feeder: BlockFeeder): Promise<UnpackResult> {
    return Promise.race([outcome, feeder.stopped]);
  }

  #pick(): PoolWorker {
    let best: PoolWorker | undefined;
    for (const worker of this.#workers) if (!best || worker.jobs.size < best.jobs.size) best = worker;
    if (best && (best.jobs.size === 0 || this.#workers.size >= this.#options.workers)) return best;
    const worker = new PoolWorker(this.#options.workerUrl, (gone) => this.#workers.delete(gone));
    this.#workers.add(worker);
    return worker;
  }
}

/** @throws GantryError invalid-argument when `workers` is not at least 1. */
export function createUnpacker(options: UnpackerOptions): Unpacker {
  if (!Number.isInteger(options.workers) || options.workers < 1) {
    throw new GantryError("invalid-argument", `unpacker with ${options.workers} workers`);
  }
  return new WorkerPool({
    workers: options.workers,
    workerUrl: options.workerUrl ?? new URL("./unpack-worker.ts", import.meta.url),
    idleMs: options.idleMs ?? 10_000,
    inFlightBytes: options.inFlightBytes ?? 2 << 20,
  });
}
