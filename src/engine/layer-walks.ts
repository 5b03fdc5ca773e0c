/**
 * The sizes of writable layers. To know one its tree has to be walked, which may take minutes, so calls are answered
 * with the last known size and its time, and asking for an old one begins a new walk beside the calls.
 *
 *   - Nobody asks, nothing is walked.
 *   - Two walks run at once, on threads; the others wait in turn.
 *   - A layer is walked again after ten seconds, or twenty times as long as its last walk took: walking costs at most a
 *     twentieth of one processor for each layer, however large.
 *   - A call waits for layers that were never walked, but not long, and once.
 */
import { errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { Limiter } from "../base/limiter.ts";
import type { Usage } from "../snapshotter/snapshotter.ts";
import { wallClockNs } from "./clock.ts";
import type { LayerUsage } from "./resources.ts";

const WALKS_AT_ONCE = 2;
const MIN_AGE_MS = 10_000;
const AGE_FOR_DURATION = 20;
const MAX_AGE_MS = 3_600_000;
const FIRST_WAIT_MS = 50;
const NEVER = new AbortController().signal;

/** What is known of one layer; kept with its container and gone with it. */
export interface LayerState {
  known?: LayerUsage;
  /** On the clock of performance.now(). */
  dueMs: number;
  walk?: Promise<void>;
  /** A call has waited for the first walk. */
  waited: boolean;
}

export interface WalkedContainer {
  container: { id: string };
  layer?: LayerState;
}

export class LayerWalks {
  readonly #limiter = new Limiter(WALKS_AT_ONCE);
  readonly #usage: (key: string) => Promise<Usage>;
  readonly #exists: (entry: WalkedContainer) => boolean;
  readonly #log: Logger;

  /** @param exists whether the container is still there: one that is being deleted is not walked. */
  constructor(
    usage: (key: string) => Promise<Usage>,
    exists: (entry: WalkedContainer) => boolean,
    log: Logger,
  ) {
    this.#usage = usage;
    this.#exists = exists;
    this.#log = log;
  }

  /** The last known sizes, in order; undefined for one that is not known yet. Begins the walks that are due. */
  async sizes(entries: readonly WalkedContainer[]): Promise<(LayerUsage | undefined)[]> {
    const now = performance.now();
    const fresh: Promise<void>[] = [];
    for (const entry of entries) {
      entry.layer ??= { dueMs: 0, waited: false };
      const { layer } = entry;
      if (!layer.walk && layer.dueMs <= now) this.#begin(entry, layer);
      if (layer.known || layer.waited || !layer.walk) continue;
      layer.waited = true;
      fresh.push(layer.walk);
    }
    if (fresh.length > 0) await atMost(FIRST_WAIT_MS, Promise.all(fresh));
    return entries.map(({ layer }) => layer?.known);
  }

  #begin(entry: WalkedContainer, layer: LayerState): void {
    layer.walk = this.#limiter.run(NEVER, () => this.#walk(entry, layer)).finally(() => delete layer.walk);
  }

  async #walk(entry: WalkedContainer, layer: LayerState): Promise<void> {
    if (!this.#exists(entry)) return;
    const startMs = performance.now();
    try {
      const { bytes, inodes } = await this.#usage(entry.container.id);
      layer.known = { usedBytes: bytes, inodesUsed: inodes, timestampNs: wallClockNs() };
    } catch (error) {
      if (this.#exists(entry))
        this.#log.warn(
          { containerId: entry.container.id, err: errorMessage(error) },
          "size of the writable layer unknown",
        );
    }
    const endMs = performance.now();
    const ageMs = Math.max(MIN_AGE_MS, (endMs - startMs) * AGE_FOR_DURATION);
    layer.dueMs = endMs + Math.min(ageMs, MAX_AGE_MS);
  }
}

async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.race([work, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]);
  } finally {
    clearTimeout(timer);
  }
}
