/**
 * The configurations in force: read at start, and again whenever something changes in their directory. A directory
 * that does not exist yet, or was deleted, is looked for until it is there.
 *
 * A change that makes a file invalid leaves what was in force: it may be half written. Without any file there is none.
 */
import { statSync, watch, type FSWatcher } from "node:fs";
import { join } from "node:path";
import { errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { loadCniConf, type LoadedConf, type LoadOptions } from "./cni-conf-files.ts";

/** A writer has often more than one thing to do. */
const SETTLE_MS = 20;
const LOOK_MS = 500;

export interface CniConfWatchOptions extends LoadOptions {
  log: Logger;
  /** Called when other configurations are in force. */
  onChange: () => void;
}

export class CniConfWatch {
  readonly #options: CniConfWatchOptions;
  readonly #watchers = new Map<string, { watcher: FSWatcher; identity: string }>();
  #current: readonly LoadedConf[] = [];
  #failure: string | undefined;
  #loading: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;
  #settle: NodeJS.Timeout | undefined;
  #look: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: CniConfWatchOptions) {
    this.#options = options;
    void this.reload();
  }

  /** The networks of new pods, the primary one first; empty while there is none. */
  get current(): readonly LoadedConf[] {
    return this.#current;
  }

  /** Why the last reading failed; undefined where it did not. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Reads what is there at the call or later, whether or not a change was seen. Does not reject. */
  reload(): Promise<void> {
    this.#queued ??= this.#loading = this.#loading.then(() => {
      this.#queued = undefined;
      return this.#load();
    });
    return this.#queued;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#settle);
    clearTimeout(this.#look);
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  async #load(): Promise<void> {
    const { directory, log, onChange } = this.#options;
    // Before the reading, so that no change falls between the two.
    this.#watchAll();
    const before = JSON.stringify(this.#current);
    const failedBefore = this.#failure;
    try {
      this.#current = await loadCniConf(this.#options);
      this.#failure = undefined;
    } catch (error) {
      this.#failure = errorMessage(error);
    }
    if (this.#closed) return;
    // What another one has in it may have come after the reading.
    if (this.#watchAll()) this.#changed();
    if (this.#failure !== undefined && this.#failure !== failedBefore)
      log.error({ directory, err: this.#failure }, "reading the CNI configuration failed");
    if (JSON.stringify(this.#current) !== before) {
      const networks = this.#current.map(({ name, cniVersion, file }) => ({ name, cniVersion, file }));
      log.info(
        { directory, networks },
        networks.length > 0 ? "CNI configuration in force" : "no CNI configuration",
      );
    }
    if (JSON.stringify(this.#current) !== before || this.#failure !== failedBefore) onChange();
  }

  #changed(): void {
    if (this.#closed) return;
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => void this.reload(), SETTLE_MS).unref();
  }

  /** The directory, and those of further plugins of the networks in it. @returns whether one is watched anew. */
  #watchAll(): boolean {
    if (this.#closed) return false;
    let anew = false;
    const { directory } = this.#options;
    const wanted = new Set([directory, ...this.#current.map(({ name }) => join(directory, name))]);
    for (const path of new Set([...wanted, ...this.#watchers.keys()])) {
      const identity = wanted.has(path) ? identityOf(path) : undefined;
      const known = this.#watchers.get(path);
      if (known && known.identity !== identity) {
        known.watcher.close();
        this.#watchers.delete(path);
      }
      if (identity === undefined || known?.identity === identity) continue;
      this.#watch(path, identity);
      // Where it cannot be watched, it is not asked for without end.
      anew ||= this.#watchers.has(path);
    }
    if (!this.#watchers.has(directory)) this.#lookAgain();
    return anew;
  }

  #watch(path: string, identity: string): void {
    try {
      const watcher = watch(path, { persistent: false }, () => this.#changed());
      watcher.on("error", () => {
        watcher.close();
        this.#watchers.delete(path);
        this.#changed();
      });
      this.#watchers.set(path, { watcher, identity });
    } catch (error) {
      this.#options.log.debug({ path, err: errorMessage(error) }, "watching failed");
    }
  }

  /** The directory is not there, or cannot be watched. */
  #lookAgain(): void {
    clearTimeout(this.#look);
    this.#look = setTimeout(() => {
      if (identityOf(this.#options.directory) === undefined) this.#lookAgain();
      else this.#changed();
    }, LOOK_MS).unref();
  }
}

/** A directory that is deleted and made again often gets the number of the deleted one, of which no news come. */
function identityOf(path: string): string | undefined {
  try {
    const { dev, ino, birthtimeNs } = statSync(path, { bigint: true });
    return `${dev} ${ino} ${birthtimeNs}`;
  } catch {
    return undefined;
  }
}
