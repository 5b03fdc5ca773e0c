/**
 * Deletes directories off the path of the caller: what is thrown away is renamed into one place at once, so it is gone
 * for everybody, and deleted in the background, one tree after the other. A crash leaves it there for the next start.
 */
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { errnoCode, errorMessage } from "../base/errors.ts";
import { newIdentifier } from "../base/identifier.ts";
import type { Logger } from "../base/logger.ts";
import { removeTree } from "../native/files.ts";

export class Trash {
  readonly #directory: string;
  readonly #log: Logger;
  #tail: Promise<void> = Promise.resolve();

  /** @param directory absolute path, made when missing, on the filesystem of what is thrown away. */
  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Moves the file or directory away. No error where there is none. */
  discard(path: string): void {
    const target = join(this.#directory, newIdentifier());
    try {
      renameSync(path, target);
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return;
      throw error;
    }
    this.#delete(target);
  }

  /** Moves away every entry of the directory that is not to be kept. */
  discardOthers(directory: string, keep: (name: string) => boolean): void {
    for (const name of readdirSync(directory)) if (!keep(name)) this.discard(join(directory, name));
  }

  /** Deletes what an earlier process left. */
  resume(): void {
    for (const name of readdirSync(this.#directory)) this.#delete(join(this.#directory, name));
  }

  /** Resolves when all that was thrown away so far has been deleted. */
  async emptied(): Promise<void> {
    await this.#tail;
  }

  #delete(path: string): void {
    this.#tail = this.#tail.then(async () => {
      try {
        await removeTree(path);
      } catch (error) {
        this.#log.warn(
          { path: basename(path), error: errorMessage(error) },
          "deleting from the trash failed",
        );
      }
    });
  }
}
