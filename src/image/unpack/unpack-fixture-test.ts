/** What the unpacker's tests share: a directory of their own, and one call that unpacks an archive into it. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import type { Digest } from "../../base/digest.ts";
import type { UnpackRequest, UnpackResult, Unpacker, UnpackerOptions } from "./unpacker.ts";
import { createUnpacker } from "./unpacker.ts";

export function sha256(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
}

export async function* chunksOf(bytes: Buffer, size = 10_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export class UnpackBench {
  /** Holds `layer`, the directory to unpack into, and whatever hostile layers aim at beside it. */
  readonly root = fs.mkdtempSync(join(tmpdir(), "gantry-unpack-"));
  readonly layer = join(this.root, "layer");
  readonly unpacker: Unpacker;

  constructor(t: TestContext, options: Partial<UnpackerOptions> = {}) {
    this.unpacker = createUnpacker({ workers: 1, ...options });
    fs.mkdirSync(this.layer);
    t.after(async () => {
      await this.unpacker.close();
      fs.rmSync(this.root, { recursive: true, force: true });
    });
  }

  /** A request for a blob of these bytes, whose digests are right. */
  request(tar: Buffer, blob: Buffer, changes: Partial<UnpackRequest> = {}): UnpackRequest {
    return {
      source: chunksOf(blob),
      compression: "auto",
      directory: this.layer,
      whiteouts: "overlay",
      expectedBlobDigest: sha256(blob),
      expectedSizeBytes: blob.length,
      expectedDiffId: sha256(tar),
      ...changes,
    };
  }

  /** Unpacks the archive, gzipped, into the emptied directory. */
  async unpack(tar: Buffer, changes: Partial<UnpackRequest> = {}): Promise<UnpackResult> {
    fs.rmSync(this.layer, { recursive: true, force: true });
    fs.mkdirSync(this.layer);
    const request = this.request(tar, gzipSync(tar, { level: 1 }), changes);
    return this.unpacker.unpack(request, new AbortController().signal);
  }

  path(...parts: string[]): string {
    return join(this.layer, ...parts);
  }

  stat(path: string): fs.Stats {
    return fs.lstatSync(this.path(path));
  }
}
