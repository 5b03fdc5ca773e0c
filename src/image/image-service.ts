/**
 * The image service: puts the registry client, the content store, the unpacker and the snapshotter together behind
 * the interface of image.ts.
 *
 *   ROOT/images/blobs, ingest     content store
 *   images.db                     records, in the store that is given
 *   certs.d                       read at each pull
 */
import { failpoint } from "../base/failpoint.ts";
import type { Digest } from "../base/digest.ts";
import type { Logger } from "../base/logger.ts";
import { SingleFlight } from "../base/single-flight.ts";
import type { Snapshotter } from "../snapshotter/snapshotter.ts";
import type { RecordStore } from "../store/record-store.ts";
import { collectGarbage, neededBlobs, neededLayers } from "./collect.ts";
import { FileContentStore } from "./content-store-files.ts";
import { ImageRecords, type StoredImage } from "./image-records.ts";
import type { ImageRecord, ImageService, PullRequest } from "./image.ts";
import { LayerFetcher } from "./layer-fetch.ts";
import { Leases } from "./lease.ts";
import { pinnedMatcher } from "./pinned.ts";
import { formatPlatform, hostPlatform, type Platform } from "./platform.ts";
import { DOCUMENT_LIMIT_BYTES, isComplete, pullImage, type PullContext } from "./pull.ts";
import { formatReference, parseReference } from "./reference.ts";
import { RegistryClient } from "./registry/client.ts";
import { authFingerprint } from "./registry/credentials.ts";
import { ProgressWatch } from "./registry/progress.ts";
import type { Unpacker } from "./unpack/unpacker.ts";

export interface ImageServiceOptions {
  /** Of the content store; created where it is missing, 0700. One process has it at a time. */
  directory: string;
  /** Opened with durability "power-loss". */
  store: RecordStore;
  snapshotter: Snapshotter;
  /** Stays the caller's to close, after this service. */
  unpacker: Unpacker;
  log: Logger;
  /** certs.d directories, the first that knows a registry counts. Default none. */
  hostsDirectories?: readonly string[];
  /** Registries ("host", "host:port") without TLS. Loopback ones are so by default. */
  plainHttpHosts?: readonly string[];
  /** References, or patterns with `*`. Default none. */
  pinnedImages?: readonly string[];
  /** Default that of this machine. */
  platform?: Platform;
  /** Layers of one image downloaded at once. Default 6. */
  maxConcurrentDownloads?: number;
  /** Tries of a request in all. Default 5. */
  attempts?: number;
  /** First wait before another try; it doubles each time. Default 300. */
  retryDelayMs?: number;
  /** A pull that waits for its registry for so long and receives nothing has failed. Default 300,000. */
  progressTimeoutMs?: number;
  /** A request without an answer, or another byte of it, for so long is made again. Default half of it, at most 60,000. */
  idleTimeoutMs?: number;
  /** Default 15,000. */
  connectTimeoutMs?: number;
  /** Keep the compressed layers, too. Default false. */
  keepLayerBlobs?: boolean;
}

export interface ClosableImageService extends ImageService {
  /** Aborts what is under way and cuts all connections. */
  close(): Promise<void>;
}

/**
 * Reads the records; images whose layers are gone are dropped with a warning. Start it after the snapshotter.
 *
 * @throws invalid-argument for a malformed pinned pattern.
 */
export function createImageService(options: ImageServiceOptions): ClosableImageService {
  return new Images(options);
}

/** A longer wait than this, asked for by a registry, is left to the kubelet's next attempt. */
const LONGEST_DELAY_MS = 20_000;

class Images implements ClosableImageService {
  readonly #context: PullContext;
  readonly #client: RegistryClient;
  readonly #progressTimeoutMs: number;
  readonly #isPinned: (names: readonly string[]) => boolean;
  readonly #pulls = new SingleFlight<StoredImage>();
  readonly #views = new WeakMap<StoredImage, ImageRecord>();
  readonly #closing = new AbortController();
  #collecting: Promise<void> = Promise.resolve();

  constructor(options: ImageServiceOptions) {
    const { snapshotter, unpacker, log } = options;
    const content = new FileContentStore(options.directory);
    const leases = new Leases();
    const keepBlobs = options.keepLayerBlobs ?? false;
    const maxConcurrentLayers = options.maxConcurrentDownloads ?? 6;
    this.#progressTimeoutMs = options.progressTimeoutMs ?? 300_000;
    this.#isPinned = pinnedMatcher(options.pinnedImages ?? []);
    this.#client = new RegistryClient({
      hosts: {
        configDirectories: options.hostsDirectories ?? [],
        plainHttpHosts: options.plainHttpHosts ?? [],
      },
      transport: {
        connectTimeoutMs: options.connectTimeoutMs ?? 15_000,
        idleTimeoutMs: options.idleTimeoutMs ?? Math.min(60_000, this.#progressTimeoutMs / 2),
        connectionsPerHost: maxConcurrentLayers * 2,
      },
      retries: {
        attempts: options.attempts ?? 5,
        baseDelayMs: options.retryDelayMs ?? 300,
        maxDelayMs: LONGEST_DELAY_MS,
      },
      log,
    });
    this.#context = {
      content,
      records: new ImageRecords(options.store),
      snapshotter,
      layers: new LayerFetcher({ snapshotter, unpacker, content, leases, keepBlobs, log }),
      leases,
      platform: options.platform ?? hostPlatform(),
      maxConcurrentLayers,
      keepBlobs,
      log,
    };
    this.#dropIncomplete();
  }

  async pull(request: PullRequest, signal: AbortSignal): Promise<ImageRecord> {
    const reference = parseReference(request.reference);
    const { auth } = request;
    // Callers share a pull only with their own credentials, so that none profits from another's.
    const key = [
      formatReference(reference),
      formatPlatform(this.#context.platform),
      authFingerprint(auth),
    ].join(" ");
    const own = AbortSignal.any([signal, this.#closing.signal]);
    const image = await this.#pulls.do(key, own, async (shared) => {
      using progress = new ProgressWatch(this.#progressTimeoutMs);
      const repository = await this.#client.open(reference, auth, progress);
      const signal = AbortSignal.any([shared, progress.signal]);
      return await pullImage(this.#context, reference, repository, signal);
    });
    return this.#view(image);
  }

  get(nameOrId: string): ImageRecord | undefined {
    const image = this.#context.records.find(nameOrId);
    return image && this.#view(image);
  }

  list(): ImageRecord[] {
    return this.#context.records.list().map((image) => this.#view(image));
  }

  async remove(nameOrId: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const image = this.#context.records.find(nameOrId);
    if (!image) return;
    this.#context.records.delete(image.id);
    failpoint("image-remove:record");
    this.#context.log.info({ imageId: image.id, tags: image.repoTags }, "removed image");
    await Promise.resolve();
  }

  async usage(): ReturnType<ImageService["usage"]> {
    const { snapshotter, content } = this.#context;
    const usage = { bytes: 0, inodes: 0 };
    const layers = neededLayers(this.#context);
    for (const layer of snapshotter.layers()) {
      if (!layers.has(layer.diffId)) continue;
      usage.bytes += layer.usage.bytes;
      usage.inodes += layer.usage.inodes;
    }
    const blobs = neededBlobs(this.#context);
    for (const blob of content.list()) {
      if (!blobs.has(blob.digest)) continue;
      usage.bytes += blob.sizeBytes;
      usage.inodes += 1;
    }
    return await Promise.resolve({
      directory: snapshotter.directory,
      usage,
      timestampNs: BigInt(Date.now()) * 1_000_000n,
    });
  }

  async rawConfig(id: Digest): Promise<string | undefined> {
    if (!this.#context.records.byId(id)) return undefined;
    return (await this.#context.content.read(id, DOCUMENT_LIMIT_BYTES))?.toString("utf8");
  }

  /** One at a time: a call waits for the one under way and then looks again. */
  async collect(): Promise<void> {
    const run = async (): Promise<void> => await collectGarbage(this.#context, this.#closing.signal);
    this.#collecting = this.#collecting.then(run, run);
    await this.#collecting;
  }

  async close(): Promise<void> {
    this.#closing.abort(new DOMException("the image service is closing", "AbortError"));
    await this.#client.close();
    await this.#collecting.catch(() => undefined);
  }

  /** The record as others see it: without the blobs, with what the configuration says now. */
  #view(image: StoredImage): ImageRecord {
    let view = this.#views.get(image);
    if (!view) {
      const { blobs: _blobs, ...record } = image;
      view = { ...record, pinned: this.#isPinned([image.id, ...image.repoTags, ...image.repoDigests]) };
      this.#views.set(image, view);
    }
    return view;
  }

  #dropIncomplete(): void {
    const { records, snapshotter, content, log } = this.#context;
    for (const image of records.list()) {
      if (isComplete(image, snapshotter, content)) continue;
      log.warn(
        { imageId: image.id, tags: image.repoTags },
        "dropping an image whose layers or configuration are gone",
      );
      records.delete(image.id);
    }
  }
}
