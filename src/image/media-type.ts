/**
 * The media types of manifests, configurations and layers, of the OCI image specification (media-types.md) and of
 * Docker's image manifest version 2, schema 2. What is not listed is refused, never guessed.
 */
import type { Compression } from "./unpack/unpacker.ts";

export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";

/** For the Accept header, the preferred first. */
export const MANIFEST_TYPES: readonly string[] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

export function isIndexType(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

/** Docker's image manifest version 2, schema 1, which has no content-addressed configuration. */
export function isSchema1Type(mediaType: string): boolean {
  return /^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/.test(mediaType);
}

export function isImageConfigType(mediaType: string): boolean {
  return (
    mediaType === "application/vnd.oci.image.config.v1+json" ||
    mediaType === "application/vnd.docker.container.image.v1+json"
  );
}

const LAYER_COMPRESSION: ReadonlyMap<string, Compression> = new Map<string, Compression>([
  ["application/vnd.oci.image.layer.v1.tar", "none"],
  ["application/vnd.oci.image.layer.v1.tar+gzip", "gzip"],
  ["application/vnd.oci.image.layer.v1.tar+zstd", "zstd"],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar", "none"],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip"],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "zstd"],
  ["application/vnd.docker.image.rootfs.diff.tar", "none"],
  ["application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"],
  ["application/vnd.docker.image.rootfs.diff.tar.zstd", "zstd"],
  ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip"],
]);

/**
 * How to read a layer of this media type; undefined where it is no known layer type. Builders mislabel one
 * compression as another, so for these the first bytes decide; the digests are checked either way.
 */
export function layerCompression(mediaType: string): Compression | undefined {
  const compression = LAYER_COMPRESSION.get(mediaType);
  return compression === "gzip" || compression === "zstd" ? "auto" : compression;
}
