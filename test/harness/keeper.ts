/**
 * Keeps a daemon that is killed again and again: a call that its death cuts off is made again, with the same
 * request, once the daemon is back, as the kubelet does.
 */
import { status } from "@grpc/grpc-js";
import { setTimeout as sleep } from "node:timers/promises";
import { type CriClient, criClient } from "../../src/cri/client.ts";
import type { TestDaemon } from "./daemon.ts";
import { patient } from "./patience.ts";

export class Keeper {
  readonly daemon: TestDaemon;
  /** How often the daemon has died. */
  deaths = 0;
  /** Done after each death, before it is started again. */
  whenDead: () => Promise<void> = async () => undefined;
  #client: CriClient;
  #return: Promise<void> | undefined;

  constructor(daemon: TestDaemon) {
    this.daemon = daemon;
    this.#client = criClient(daemon.endpoint);
  }

  get client(): CriClient {
    return this.#client;
  }

  /** @throws what the daemon answers, also UNAVAILABLE from one that lives. */
  async call<T>(work: (client: CriClient) => Promise<T>): Promise<T> {
    for (;;) {
      await this.#return;
      const client = this.#client;
      try {
        return await work(client);
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === status.UNAVAILABLE)) throw error;
        if (!(await this.#hasDied(client))) throw error;
        await this.#back(client);
      }
    }
  }

  close(): void {
    this.#client.close();
  }

  /** The connection tells of a death before the kernel has told of it, and others may have seen it first. */
  async #hasDied(client: CriClient): Promise<boolean> {
    for (const end = performance.now() + patient(30_000); performance.now() < end; await sleep(5))
      if (this.daemon.ended || this.#return || client !== this.#client) return true;
    return false;
  }

  async #back(client: CriClient): Promise<void> {
    if (client !== this.#client) return;
    this.#return ??= (async () => {
      this.deaths += 1;
      client.close();
      await this.whenDead();
      await this.daemon.run();
      this.#client = criClient(this.daemon.endpoint);
    })().finally(() => (this.#return = undefined));
    await this.#return;
  }
}
