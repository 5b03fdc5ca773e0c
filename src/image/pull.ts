/**
 * One pull, from a parsed reference to an image record.
 *
 *   reference ─▶ index ─▶ manifest ─▶ configuration ─▶ layers, all at once ─▶ chain of snapshots ─▶ record
 *
 * The registry is asked in every pull, even for an image that is all here, so that it can refuse the caller's
 * credentials. What a cut-off pull has finished stays for the next one: committed layers and blobs are garbage
 * only for collection.
 */
import type { Digest } from "../base/digest.ts";
import { errorKind, errorMessage, GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { Logger } from "../base/logger.ts";
import type { Snapshotter } from "../snapshotter/snapshotter.ts";
import { chainIds } from "./chain-id.ts";
import type { ContentStore } from "./content-store.ts";
import { diskError } from "./disk-error.ts";
import { parseImageConfig, type ParsedImageConfig } from "./image-config.ts";
import type { ImageRecords, StoredImage } from "./image-records.ts";
import type { Layer, LayerFetcher } from "./layer-fetch.ts";
import type { Lease, Leases } from "./lease.ts";
import { Limiter } from "../base/limiter.ts";
import { parseManifest, type Descriptor, type ManifestDocument } from "./manifest.ts";
import { choosePlatform, formatPlatform, type Platform } from "./platform.ts";
import { formatReference, referenceName, type Reference } from "./reference.ts";
import type { Repository } from "./registry/repository.ts";

export interface PullContext {
  content: ContentStore;
  records: ImageRecords;
  snapshotter: Snapshotter;
  layers: LayerFetcher;
  leases: Leases;
  platform: Platform;
  maxConcurrentLayers: number;
  keepBlobs: boolean;
  log: Logger;
}

type ImageManifest = Extract<ManifestDocument, { kind: "manifest" }>;

/** Largest manifest, index or configuration that is read (CVE-2023-25153). */
export const DOCUMENT_LIMIT_BYTES = 8 * 1024 * 1024;
/** An index may point to an index, this many times. */
const INDEX_DEPTH_LIMIT = 4;

/** @throws as ImageService.pull says; every message begins with the image. */
export async function pullImage(
  context: PullContext,
  reference: Reference,
  repository: Repository,
  signal: AbortSignal,
): Promise<StoredImage> {
  using lease = context.leases.begin();
  try {
    return (
      (await unchanged(context, reference, repository, signal)) ??
      (await new Pull(context, reference, repository, lease, signal).run())
    );
  } catch (error) {
    throw wrapError(`image ${formatReference(reference)}`, signal.aborted ? signal.reason : error);
  }
}

/** The image that is here already, where the registry says that the reference still means it. */
async function unchanged(
  { records, snapshotter, content }: PullContext,
  reference: Reference,
  repository: Repository,
  signal: AbortSignal,
): Promise<StoredImage | undefined> {
  const known = records.byName(formatReference(reference));
  if (!known || !isComplete(known, snapshotter, content)) return undefined;
  const digest = await repository.head(signal);
  if (digest === undefined || !known.repoDigests.includes(`${referenceName(reference)}@${digest}`))
    return undefined;
  // It may have been removed while the registry was asked.
  return records.byName(formatReference(reference)) === known ? known : undefined;
}

/** What the record names is all there. */
export function isComplete(image: StoredImage, snapshotter: Snapshotter, content: ContentStore): boolean {
  const { chainId } = image;
  return (chainId === undefined || snapshotter.stat(chainId)?.kind === "committed") && content.has(image.id);
}

class Pull {
  readonly #context: PullContext;
  readonly #reference: Reference;
  readonly #repository: Repository;
  readonly #lease: Lease;
  readonly #signal: AbortSignal;
  readonly #blobs: Digest[] = [];

  constructor(
    context: PullContext,
    reference: Reference,
    repository: Repository,
    lease: Lease,
    signal: AbortSignal,
  ) {
    this.#context = context;
    this.#reference = reference;
    this.#repository = repository;
    this.#lease = lease;
    this.#signal = signal;
  }

  async run(): Promise<StoredImage> {
    const { top, manifestDigest, manifest } = await this.#resolve();
    const { config, diffIds } = await this.#config(manifest);
    if (diffIds.length !== manifest.layers.length) {
      throw new GantryError(
        "data-loss",
        `manifest ${manifestDigest} has ${manifest.layers.length} layers, its config ${diffIds.length}`,
      );
    }
    const chain = chainIds(diffIds);
    for (const diffId of diffIds) this.#lease.hold(`layer ${diffId}`);
    for (const chainId of chain) this.#lease.hold(`chain ${chainId}`);
    const layers = manifest.layers.map((descriptor, i): Layer => ({
      descriptor,
      diffId: diffIds[i] as Digest,
    }));
    await this.#fetchLayers(layers);
    await this.#commitChain(diffIds, chain);

    const { tag } = this.#reference;
    const name = referenceName(this.#reference);
    const repoTags = tag === undefined ? [] : [`${name}:${tag}`];
    const repoDigests = [`${name}@${top}`];
    const chainId = chain.at(-1);
    this.#signal.throwIfAborted();
    const image = this.#context.records.save({
      id: manifest.config.digest,
      repoTags,
      repoDigests,
      manifestDigest,
      mediaType: manifest.mediaType,
      sizeBytes: manifest.layers.reduce((sum, layer) => sum + layer.sizeBytes, manifest.config.sizeBytes),
      config,
      diffIds,
      ...(chainId === undefined ? {} : { chainId }),
      pinned: false,
      pulledAtMs: Date.now(),
      blobs: this.#blobs,
    });
    failpoint("pull:record");
    this.#context.log.info(
      { image: repoTags[0] ?? repoDigests[0], imageId: image.id, layers: diffIds.length },
      "pulled image",
    );
    return image;
  }

  /** Follows the reference to the manifest for this platform. */
  async #resolve(): Promise<{ top: Digest; manifestDigest: Digest; manifest: ImageManifest }> {
    const fetched = await this.#repository.manifest(undefined, DOCUMENT_LIMIT_BYTES, this.#signal);
    const top = fetched.digest;
    let { digest, bytes } = fetched;
    let document = parseManifest(bytes, digest, fetched.contentType);
    for (let depth = 0; document.kind === "index"; depth += 1) {
      await this.#keep(digest, bytes);
      if (depth === INDEX_DEPTH_LIMIT)
        throw new GantryError("data-loss", `manifest ${digest}: indexes are nested too deep`);
      const entry = choosePlatform(document.manifests, this.#context.platform);
      if (!entry)
        throw new GantryError(
          "not-found",
          `no image for platform ${formatPlatform(this.#context.platform)} in index ${digest}`,
        );
      digest = entry.digest;
      bytes = await this.#child(entry);
      document = parseManifest(bytes, digest, entry.mediaType);
    }
    await this.#keep(digest, bytes);
    failpoint("pull:manifest");
    return { top, manifestDigest: digest, manifest: document };
  }

  async #child(entry: Descriptor): Promise<Buffer> {
    const bytes =
      (await this.#kept(entry.digest)) ??
      (
        await this.#repository.manifest(
          entry.digest,
          Math.min(entry.sizeBytes, DOCUMENT_LIMIT_BYTES),
          this.#signal,
        )
      ).bytes;
    if (bytes.length !== entry.sizeBytes)
      throw new GantryError(
        "data-loss",
        `manifest ${entry.digest} has ${bytes.length} bytes, not ${entry.sizeBytes}`,
      );
    return bytes;
  }

  async #config(manifest: ImageManifest): Promise<ParsedImageConfig> {
    const { digest, sizeBytes } = manifest.config;
    if (sizeBytes > DOCUMENT_LIMIT_BYTES)
      throw new GantryError(
        "resource-exhausted",
        `image config ${digest} is larger than ${DOCUMENT_LIMIT_BYTES} bytes`,
      );
    const bytes = (await this.#kept(digest)) ?? (await this.#repository.blob(manifest.config, this.#signal));
    if (bytes.length !== sizeBytes)
      throw new GantryError(
        "data-loss",
        `image config ${digest} has ${bytes.length} bytes, not ${sizeBytes}`,
      );
    const parsed = parseImageConfig(bytes, digest);
    await this.#keep(digest, bytes);
    failpoint("pull:config");
    return parsed;
  }

  /** A document from the content store; a damaged one is dropped and fetched anew. */
  async #kept(digest: Digest): Promise<Buffer | undefined> {
    const { content, leases, log } = this.#context;
    this.#lease.hold(`blob ${digest}`);
    return await leases.exclusive(`blob ${digest}`, this.#signal, async () => {
      try {
        return await content.read(digest, DOCUMENT_LIMIT_BYTES);
      } catch (error) {
        if (errorKind(error) !== "data-loss") throw error;
        log.warn({ digest, error: errorMessage(error) }, "fetching a damaged blob anew");
        await content.remove(digest);
        return undefined;
      }
    });
  }

  async #keep(digest: Digest, bytes: Buffer): Promise<void> {
    const { content, leases } = this.#context;
    this.#lease.hold(`blob ${digest}`);
    await leases.exclusive(`blob ${digest}`, this.#signal, async () => await content.write(digest, bytes));
    this.#blobs.push(digest);
  }

  /** The first failure stops the others. */
  async #fetchLayers(layers: readonly Layer[]): Promise<void> {
    const failed = new AbortController();
    const signal = AbortSignal.any([this.#signal, failed.signal]);
    const limiter = new Limiter(this.#context.maxConcurrentLayers);
    if (this.#context.keepBlobs) {
      for (const { descriptor } of layers) {
        this.#lease.hold(`blob ${descriptor.digest}`);
        this.#blobs.push(descriptor.digest);
      }
    }
    const unique = [...new Map(layers.map((layer) => [layer.diffId, layer])).values()];
    const results = await Promise.allSettled(
      unique.map(async (layer) => {
        try {
          await limiter.run(
            signal,
            async () => await this.#context.layers.fetch(layer, this.#repository, signal),
          );
        } catch (error) {
          failed.abort(error);
          throw error;
        }
      }),
    );
    this.#signal.throwIfAborted();
    if (failed.signal.aborted) throw failed.signal.reason;
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  async #commitChain(diffIds: readonly Digest[], chain: readonly Digest[]): Promise<void> {
    const { leases, snapshotter } = this.#context;
    for (const [i, chainId] of chain.entries()) {
      try {
        await leases.exclusive(`chain ${chainId}`, this.#signal, async () => {
          await snapshotter.commit(chainId, diffIds[i] as Digest, chain[i - 1]);
          failpoint("pull:chain");
        });
      } catch (error) {
        this.#signal.throwIfAborted();
        throw diskError(`snapshot ${chainId}`, error);
      }
    }
  }
}
