/** The entry of a worker thread: runs the jobs that worker-pool.ts sends, several at once, each in its own order. */
import { parentPort } from "node:worker_threads";
import { errorKind, errorMessage } from "../../base/errors.ts";
import { LayerUnpack, type LayerUnpackRequest } from "./layer-unpack.ts";
import type { FromWorker, ToWorker } from "./unpack-messages.ts";

const port = parentPort;
if (!port) throw new Error("unpack-worker runs as a worker thread only");

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port?.postMessage(message, transfer);
}

class Job {
  readonly #id: number;
  readonly #request: LayerUnpackRequest;
  #unpack: LayerUnpack | undefined;
  #tail: Promise<void> = Promise.resolve();
  #over = false;

  constructor(id: number, request: LayerUnpackRequest) {
    this.#id = id;
    this.#request = request;
    this.#then(async () => {
      this.#unpack = new LayerUnpack(this.#request);
    });
  }

  block(block: ArrayBuffer, length: number): void {
    this.#then(async () => {
      await this.#unpack?.write(Buffer.from(block, 0, length));
      send({ type: "consumed", job: this.#id, block }, [block]);
    });
  }

  end(): void {
    this.#then(async () => {
      if (!this.#unpack) return;
      const result = await this.#unpack.finish();
      this.#over = true;
      jobs.delete(this.#id);
      send({ type: "done", job: this.#id, ...result });
    });
  }

  /** Does not wait its turn: what is under way is cut off. */
  stop(): void {
    if (!this.#over) void this.#fail(new DOMException("stopped", "AbortError"));
  }

  /** Steps run one after the other; after a failure none runs. */
  #then(step: () => Promise<void>): void {
    this.#tail = this.#tail.then(async () => {
      if (this.#over) return;
      try {
        await step();
      } catch (error) {
        if (!this.#over) await this.#fail(error);
      }
    });
  }

  async #fail(error: unknown): Promise<void> {
    this.#over = true;
    jobs.delete(this.#id);
    let kind = errorKind(error);
    let message = errorMessage(error);
    try {
      await this.#unpack?.close();
    } catch (closing) {
      kind = "internal";
      message = `${message}; ${errorMessage(closing)}`;
    }
    send({ type: "failed", job: this.#id, kind, message });
  }
}

const jobs = new Map<number, Job>();

port.on("message", (message: ToWorker) => {
  if (message.type === "start") {
    jobs.set(message.job, new Job(message.job, message.request));
    return;
  }
  const job = jobs.get(message.job);
  if (message.type === "block") job?.block(message.block, message.length);
  else if (message.type === "end") job?.end();
  else job?.stop();
});
