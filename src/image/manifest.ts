/**
 * Manifests and indexes: untrusted JSON to checked values.
 *
 * A document is what its mediaType says, and must agree with the Content-Type that it came with; one that could
 * be read as both an index and a manifest is refused (CVE-2021-41190). Layer `urls` are ignored: a layer comes
 * from the registry that the reference names, or not at all (CVE-2020-15157).
 */
import { isDigest, type Digest } from "../base/digest.ts";
import { GantryError } from "../base/errors.ts";
import { asArray, asObject, asSize, asString, parseJsonObject, type JsonObject } from "./json-shape.ts";
import {
  isImageConfigType,
  isIndexType,
  isManifestType,
  isSchema1Type,
  layerCompression,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./media-type.ts";
import type { Platform } from "./platform.ts";

/** More layers than any overlay mount or builder allows. */
const LAYERS_LIMIT = 500;

export interface Descriptor {
  mediaType: string;
  digest: Digest;
  sizeBytes: number;
}

export interface IndexEntry extends Descriptor {
  platform: Platform | undefined;
}

export type ManifestDocument =
  | { kind: "index"; mediaType: string; manifests: IndexEntry[] }
  | { kind: "manifest"; mediaType: string; config: Descriptor; layers: Descriptor[] };

/**
 * @param digest of the bytes, for messages.
 * @param contentType media type that the bytes were announced with (a descriptor's, or the response header's
 *   without parameters); undefined or a generic one leaves it to the document.
 * @throws data-loss for a malformed or ambiguous document, unimplemented for a kind that is no container image.
 */
export function parseManifest(
  bytes: Uint8Array,
  digest: Digest,
  contentType: string | undefined,
): ManifestDocument {
  const document = `manifest ${digest}`;
  const json = parseJsonObject(document, bytes);
  const mediaType = decideType(document, json, contentType);
  if (isIndexType(mediaType)) {
    if (present(json["layers"]) || present(json["config"]) || present(json["fsLayers"])) {
      throw new GantryError("data-loss", `${document}: ambiguous: an index with layers or a config`);
    }
    const entries = asArray(document, "manifests", json["manifests"]) ?? [];
    const manifests = entries.map((entry, i) => parseIndexEntry(document, `manifests[${i}]`, entry));
    return { kind: "index", mediaType, manifests };
  }
  if (present(json["manifests"]) || present(json["fsLayers"])) {
    throw new GantryError("data-loss", `${document}: ambiguous: a manifest that lists manifests`);
  }
  const config = parseDescriptor(document, "config", json["config"]);
  if (!isImageConfigType(config.mediaType)) {
    const type = asString(document, "artifactType", json["artifactType"]) ?? config.mediaType;
    throw new GantryError(
      "unimplemented",
      `${document}: not a container image but an artifact of type ${JSON.stringify(type)}`,
    );
  }
  const items = asArray(document, "layers", json["layers"]) ?? [];
  if (items.length > LAYERS_LIMIT)
    throw new GantryError("data-loss", `${document}: ${items.length} layers are too many`);
  const layers = items.map((item, i) => parseLayer(document, `layers[${i}]`, item));
  return { kind: "manifest", mediaType, config, layers };
}

function present(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function decideType(document: string, json: JsonObject, contentType: string | undefined): string {
  const inside = asString(document, "mediaType", json["mediaType"]);
  const outside =
    contentType !== undefined && contentType.startsWith("application/vnd.") ? contentType : undefined;
  if (inside !== undefined && outside !== undefined && inside !== outside) {
    throw new GantryError(
      "data-loss",
      `${document}: media type is ${JSON.stringify(inside)} inside and ${JSON.stringify(outside)} outside`,
    );
  }
  const mediaType = inside ?? outside ?? guessType(json);
  if (isSchema1Type(mediaType) || json["schemaVersion"] === 1) {
    throw new GantryError(
      "unimplemented",
      `${document}: Docker image manifest schema 1 is not supported, push the image anew`,
    );
  }
  if (json["schemaVersion"] !== 2) throw new GantryError("data-loss", `${document}: schemaVersion is not 2`);
  if (!isIndexType(mediaType) && !isManifestType(mediaType)) {
    throw new GantryError("unimplemented", `${document}: unknown manifest type ${JSON.stringify(mediaType)}`);
  }
  return mediaType;
}

/** OCI documents may lack a mediaType; Docker's never do. */
function guessType(json: JsonObject): string {
  return present(json["manifests"]) ? OCI_INDEX : OCI_MANIFEST;
}

function parseDescriptor(document: string, field: string, value: unknown): Descriptor {
  const json = asObject(document, field, value);
  if (!json) throw new GantryError("data-loss", `${document}: ${field} is missing`);
  const digest = asString(document, `${field}.digest`, json["digest"]) ?? "";
  if (!isDigest(digest)) {
    throw new GantryError(
      "data-loss",
      `${document}: ${field}.digest ${JSON.stringify(digest.slice(0, 160))} is not a sha256 digest`,
    );
  }
  return {
    mediaType: asString(document, `${field}.mediaType`, json["mediaType"]) ?? "",
    digest,
    sizeBytes: asSize(document, `${field}.size`, json["size"]),
  };
}

function parseLayer(document: string, field: string, value: unknown): Descriptor {
  const layer = parseDescriptor(document, field, value);
  if (layerCompression(layer.mediaType) === undefined) {
    throw new GantryError(
      "unimplemented",
      `${document}: ${field} has unknown layer type ${JSON.stringify(layer.mediaType)}`,
    );
  }
  return layer;
}

function parseIndexEntry(document: string, field: string, value: unknown): IndexEntry {
  const json = asObject(document, `${field}.platform`, asObject(document, field, value)?.["platform"]);
  const platform: Platform | undefined = json && {
    os: asString(document, `${field}.platform.os`, json["os"]) ?? "",
    architecture: asString(document, `${field}.platform.architecture`, json["architecture"]) ?? "",
    variant: asString(document, `${field}.platform.variant`, json["variant"]) ?? "",
  };
  return { ...parseDescriptor(document, field, value), platform };
}
