/** Images for tests of pulling: puts layers, a configuration and a manifest into a fake registry. */
import { gzipSync } from "node:zlib";
import type { Digest } from "../base/digest.ts";
import { OCI_MANIFEST } from "./media-type.ts";
import { sha256, type FakeRegistry } from "./registry/fake-registry.ts";

export interface FakeImage {
  id: Digest;
  manifestDigest: Digest;
  manifestBytes: Buffer;
  diffIds: Digest[];
  blobDigests: Digest[];
}

/** @param layers raw contents, lowest first. @param change edits the manifest before it is stored. */
export function addImage(
  registry: FakeRegistry,
  repository: string,
  tag: string | undefined,
  layers: readonly (string | Buffer)[],
  options: { config?: object; change?: (manifest: Record<string, unknown>) => void; mediaType?: string } = {},
): FakeImage {
  const raw = layers.map((layer) => Buffer.from(layer));
  const blobs = raw.map((layer) => gzipSync(layer));
  const diffIds = raw.map(sha256);
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"] },
      rootfs: { type: "layers", diff_ids: diffIds },
      ...options.config,
    }),
  );
  const id = registry.addBlob(config);
  const mediaType = options.mediaType ?? OCI_MANIFEST;
  const manifest: Record<string, unknown> = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: id, size: config.length },
    layers: blobs.map((blob) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest: registry.addBlob(blob),
      size: blob.length,
    })),
  };
  options.change?.(manifest);
  const { digest, bytes } = registry.addManifest(repository, tag, manifest, mediaType);
  return { id, manifestDigest: digest, manifestBytes: bytes, diffIds, blobDigests: blobs.map(sha256) };
}
