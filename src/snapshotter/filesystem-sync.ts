/**
 * Makes what was written to one filesystem durable. Callers that come while a sync is under way share the next one:
 * four layers that end together cost two syncs.
 */
import { syncFilesystem } from "../native/files.ts";

export class FilesystemSync {
  readonly #directory: string;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** @param directory any directory of the filesystem. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Resolves when everything written before the call is on disk. */
  async sync(): Promise<void> {
    if (!this.#running) {
      this.#running = this.#run();
      return this.#running;
    }
    this.#next ??= this.#running.then(
      async () => this.#startNext(),
      async () => this.#startNext(),
    );
    return this.#next;
  }

  async #startNext(): Promise<void> {
    this.#next = undefined;
    this.#running = this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    try {
      await syncFilesystem(this.#directory);
    } finally {
      if (!this.#next) this.#running = undefined;
    }
  }
}
