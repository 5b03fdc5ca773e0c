/**
 * A snapshotter and an unpacker for tests of pulling. The snapshotter keeps its records in memory; the unpacker
 * checks size and digests for real but writes the raw tar as one file instead of its entries.
 */
import { createHash } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { digestHex, type Digest } from "../base/digest.ts";
import { GantryError } from "../base/errors.ts";
import type { RootfsMount, SnapshotInfo, Snapshotter, Usage } from "../snapshotter/snapshotter.ts";
import type { UnpackRequest, UnpackResult, Unpacker } from "./unpack/unpacker.ts";

export class FakeSnapshotter implements Snapshotter {
  readonly name = "fake";
  readonly directory: string;
  readonly committedLayers = new Map<Digest, Usage>();
  readonly snapshots = new Map<string, SnapshotInfo & { diffId?: Digest }>();
  readonly begun = new Set<Digest>();

  constructor(directory: string) {
    this.directory = directory;
  }

  #path(diffId: Digest): string {
    return join(this.directory, digestHex(diffId));
  }

  hasLayer(diffId: Digest): boolean {
    return this.committedLayers.has(diffId);
  }

  async layerBegin(diffId: Digest): Promise<{ directory: string; whiteouts: "overlay" }> {
    if (this.begun.has(diffId)) throw new Error(`layer ${diffId} is begun twice`);
    this.begun.add(diffId);
    mkdirSync(this.#path(diffId), { recursive: true });
    return await Promise.resolve({ directory: this.#path(diffId), whiteouts: "overlay" });
  }

  async layerCommit(diffId: Digest, usage: Usage): Promise<void> {
    this.begun.delete(diffId);
    this.committedLayers.set(diffId, usage);
    await Promise.resolve();
  }

  async layerAbort(diffId: Digest): Promise<void> {
    this.begun.delete(diffId);
    rmSync(this.#path(diffId), { recursive: true, force: true });
    await Promise.resolve();
  }

  async layerRemove(diffId: Digest): Promise<void> {
    for (const snapshot of this.snapshots.values()) {
      if (snapshot.diffId === diffId)
        throw new GantryError("failed-precondition", `layer ${diffId} is in use`);
    }
    this.committedLayers.delete(diffId);
    rmSync(this.#path(diffId), { recursive: true, force: true });
    await Promise.resolve();
  }

  layers(): { diffId: Digest; usage: Usage }[] {
    return [...this.committedLayers].map(([diffId, usage]) => ({ diffId, usage }));
  }

  async commit(chainId: Digest, diffId: Digest, parent: Digest | undefined): Promise<void> {
    if (!this.hasLayer(diffId)) throw new GantryError("not-found", `layer ${diffId} not found`);
    if (parent !== undefined && !this.snapshots.has(parent))
      throw new GantryError("not-found", `snapshot ${parent} not found`);
    this.snapshots.set(chainId, {
      name: chainId,
      kind: "committed",
      diffId,
      createdAtMs: 0,
      ...(parent === undefined ? {} : { parent }),
    });
    await Promise.resolve();
  }

  async prepare(key: string, parent: Digest | undefined): Promise<RootfsMount> {
    this.snapshots.set(key, {
      name: key,
      kind: "active",
      createdAtMs: 0,
      ...(parent === undefined ? {} : { parent }),
    });
    return await Promise.resolve(this.mount());
  }

  async view(key: string, parent: Digest): Promise<RootfsMount> {
    return await this.prepare(key, parent);
  }

  mount(): RootfsMount {
    return { type: "bind", source: this.directory, readonly: true };
  }

  async remove(name: string): Promise<void> {
    for (const { parent } of this.snapshots.values()) {
      if (parent === name) throw new GantryError("failed-precondition", `snapshot ${name} has children`);
    }
    this.snapshots.delete(name);
    await Promise.resolve();
  }

  stat(name: string): SnapshotInfo | undefined {
    return this.snapshots.get(name);
  }

  list(): SnapshotInfo[] {
    return [...this.snapshots.values()];
  }

  async usage(): Promise<Usage> {
    return await Promise.resolve({ bytes: 0, inodes: 0 });
  }

  fileKind(): "directory" {
    return "directory";
  }

  async readFile(): Promise<Buffer | undefined> {
    return await Promise.resolve(undefined);
  }

  async collect(): Promise<void> {
    await Promise.resolve();
  }
}

export class FakeUnpacker implements Unpacker {
  /** Blobs of the calls that ran to their end or failed, in order. */
  readonly unpacked: Digest[] = [];
  /** Waited for before the first byte is read. */
  gate: Promise<void> = Promise.resolve();

  async unpack(request: UnpackRequest, signal: AbortSignal): Promise<UnpackResult> {
    await this.gate;
    const chunks: Uint8Array[] = [];
    for await (const chunk of request.source) chunks.push(chunk);
    signal.throwIfAborted();
    const blob = Buffer.concat(chunks);
    this.unpacked.push(request.expectedBlobDigest);
    if (blob.length !== request.expectedSizeBytes) throw wrong("size");
    if (hash(blob) !== request.expectedBlobDigest) throw wrong("blob digest");
    const raw = decompress(blob);
    if (hash(raw) !== request.expectedDiffId) throw wrong("diffID");
    writeFileSync(join(request.directory, "layer.tar"), raw);
    if (request.keepBlob !== undefined) writeFileSync(request.keepBlob, blob);
    const { expectedBlobDigest: blobDigest, expectedDiffId: diffId } = request;
    return { blobDigest, diffId, usage: { bytes: raw.length, inodes: 1 } };
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }
}

function wrong(what: string): GantryError {
  return new GantryError("data-loss", `${what} does not match`);
}

function hash(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function decompress(blob: Buffer): Buffer {
  if (blob[0] === 0x1f && blob[1] === 0x8b) return gunzipSync(blob);
  return blob.readUInt32LE(0) === 0xfd2fb528 ? zstdDecompressSync(blob) : blob;
}
