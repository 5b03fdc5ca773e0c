/**
 * Layers: each is downloaded and unpacked in one stream, once, whoever asks for it.
 *
 * Pulls of different images that need the same layer at the same time share the work; when the one that does it
 * fails, another that waited tries with its own registry. A layer becomes visible only after the unpacker has
 * verified both digests.
 */
import { digestHex, type Digest } from "../base/digest.ts";
import { CleanupStack } from "../base/cleanup.ts";
import { errorKind, errorMessage } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { Logger } from "../base/logger.ts";
import { SingleFlight } from "../base/single-flight.ts";
import type { Snapshotter } from "../snapshotter/snapshotter.ts";
import type { ContentStore } from "./content-store.ts";
import { diskError } from "./disk-error.ts";
import type { Leases } from "./lease.ts";
import type { Descriptor } from "./manifest.ts";
import { layerCompression } from "./media-type.ts";
import type { Repository } from "./registry/repository.ts";
import type { Unpacker } from "./unpack/unpacker.ts";

export interface Layer {
  descriptor: Descriptor;
  diffId: Digest;
}

export interface LayerFetcherOptions {
  snapshotter: Snapshotter;
  unpacker: Unpacker;
  content: ContentStore;
  leases: Leases;
  /** Keep the compressed blobs in the content store. */
  keepBlobs: boolean;
  log: Logger;
}

export class LayerFetcher {
  readonly #options: LayerFetcherOptions;
  readonly #flights = new SingleFlight<void>();
  /** Work that goes on, also that which was aborted and is being undone. */
  readonly #running = new Map<string, Promise<void>>();

  constructor(options: LayerFetcherOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the layer is committed. The caller holds a lease of it.
   *
   * @throws data-loss, unavailable, resource-exhausted, …; the reason of the signal after an abort.
   */
  async fetch(layer: Layer, repository: Repository, signal: AbortSignal): Promise<void> {
    const key = `${layer.diffId} ${layer.descriptor.digest}`;
    for (let joined = false; ; joined = true) {
      let own = false;
      try {
        return await this.#flights.do(key, signal, async (shared) => {
          own = true;
          const work = this.#options.leases.exclusive(
            `layer ${layer.diffId}`,
            shared,
            async () => await this.#ensure(layer, repository, shared),
          );
          this.#running.set(key, work);
          try {
            await work;
          } finally {
            if (this.#running.get(key) === work) this.#running.delete(key);
          }
        });
      } catch (error) {
        // Nobody waits for it any more: what it began is undone before the caller goes on.
        if (!this.#flights.has(key)) await this.#running.get(key)?.catch(() => undefined);
        signal.throwIfAborted();
        if (own || joined) throw error;
        this.#options.log.debug(
          { diffId: layer.diffId, error: errorMessage(error) },
          "a shared layer download failed, trying again",
        );
      }
    }
  }

  async #ensure(layer: Layer, repository: Repository, signal: AbortSignal): Promise<void> {
    if (this.#options.snapshotter.hasLayer(layer.diffId)) return;
    try {
      await this.#unpack(layer, repository, signal);
    } catch (error) {
      signal.throwIfAborted();
      const server = errorKind(error) === "data-loss" ? repository.withoutMirrors() : undefined;
      if (!server) throw error;
      this.#options.log.warn(
        { digest: layer.descriptor.digest, error: errorMessage(error) },
        "a mirror served a wrong layer, asking the registry",
      );
      await this.#unpack(layer, server, signal);
    }
  }

  async #unpack({ descriptor, diffId }: Layer, repository: Repository, signal: AbortSignal): Promise<void> {
    const { snapshotter, unpacker, content, leases, log } = this.#options;
    const context = `layer ${descriptor.digest}`;
    await using undo = new CleanupStack((name, error) => {
      log.warn({ diffId, step: name, error: errorMessage(error) }, "clean-up after a failed layer failed");
    });
    try {
      const ingest = await snapshotter.layerBegin(diffId);
      failpoint("pull:layer-begin");
      undo.push("drop layer", async () => await snapshotter.layerAbort(diffId));
      const blob = this.#options.keepBlobs && !content.has(descriptor.digest) ? content.ingest() : undefined;
      if (blob) undo.push("drop blob", async () => await blob.abort());
      const { usage } = await unpacker.unpack(
        {
          source: repository.blobStream(descriptor, signal),
          compression: layerCompression(descriptor.mediaType) ?? "auto",
          directory: ingest.directory,
          whiteouts: ingest.whiteouts,
          expectedBlobDigest: descriptor.digest,
          expectedSizeBytes: descriptor.sizeBytes,
          expectedDiffId: diffId,
          ...(blob ? { keepBlob: blob.path } : {}),
        },
        signal,
      );
      failpoint("pull:layer-unpack");
      signal.throwIfAborted();
      if (blob)
        await leases.exclusive(
          `blob ${descriptor.digest}`,
          signal,
          async () => await blob.commit(descriptor.digest),
        );
      await snapshotter.layerCommit(diffId, usage);
      failpoint("pull:layer-commit");
      undo.disarm();
      log.debug({ layer: digestHex(diffId), bytes: usage.bytes }, "unpacked layer");
    } catch (error) {
      signal.throwIfAborted();
      throw diskError(context, error);
    }
  }
}
