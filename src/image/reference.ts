/**
 * Image references: parsing and the one normal form that records, lookups and pulls use.
 *
 *   busybox                    docker.io/library/busybox:latest
 *   host:5000/a/b@sha256:…     itself
 *   a/b:1@sha256:…             docker.io/a/b@sha256:…      the digest decides, the tag is dropped
 *
 * Grammar and defaults: the reference grammar of the distribution project (reference/reference.go there), digests
 * limited to sha256.
 */
import { isDigest, type Digest } from "../base/digest.ts";
import { GantryError } from "../base/errors.ts";

export interface Reference {
  /** Host with optional port as the user names the registry: "docker.io", "localhost:5000". */
  registry: string;
  /** "library/busybox", lower case. */
  repository: string;
  /** Undefined exactly when there is a digest. */
  tag?: string;
  digest?: Digest;
}

const DEFAULT_REGISTRY = "docker.io";
const NAME_LIMIT = 255;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const DOMAIN =
  /^(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])(?:\.(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]))*(?::([0-9]{1,5}))?$/;
const IPV6_DOMAIN = /^\[[0-9A-Fa-f:]{2,45}\](?::([0-9]{1,5}))?$/;

function invalid(text: string, reason: string): GantryError {
  const shown = text.length > 300 ? `${text.slice(0, 300)}…` : text;
  return new GantryError("invalid-argument", `image reference ${JSON.stringify(shown)}: ${reason}`);
}

/**
 * Parses and normalises what a user wrote.
 *
 * @throws invalid-argument naming what is wrong.
 */
export function parseReference(text: string): Reference {
  if (text === "") throw invalid(text, "is empty");
  // Nothing valid is longer, and nothing below is slow on less.
  if (text.length > NAME_LIMIT + 1 + 128 + 1 + 128) throw invalid(text, "is too long");
  if (/^(?:sha256:)?[0-9a-f]{64}$/.test(text)) throw invalid(text, "is an image id, not a name");

  const at = text.indexOf("@");
  const digestText = at < 0 ? undefined : text.slice(at + 1);
  const nameAndTag = at < 0 ? text : text.slice(0, at);
  const colon = nameAndTag.indexOf(":", nameAndTag.lastIndexOf("/") + 1);
  const tag = colon < 0 ? undefined : nameAndTag.slice(colon + 1);
  const name = colon < 0 ? nameAndTag : nameAndTag.slice(0, colon);

  const { registry, repository } = splitName(text, name);
  if (registry.length + 1 + repository.length > NAME_LIMIT) {
    throw invalid(text, `name is longer than ${NAME_LIMIT} characters`);
  }
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `bad tag ${JSON.stringify(tag)}`);
  if (digestText !== undefined) {
    if (!isDigest(digestText))
      throw invalid(
        text,
        `bad digest ${JSON.stringify(digestText)}: not sha256 and 64 lower case hex digits`,
      );
    return { registry, repository, digest: digestText };
  }
  return { registry, repository, tag: tag ?? "latest" };
}

function splitName(text: string, name: string): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(slash, 0));
  const isHost = slash > 0 && (/[.:]/.test(first) || first === "localhost");
  let registry = isHost ? first : DEFAULT_REGISTRY;
  let repository = isHost ? name.slice(slash + 1) : name;

  const port = (DOMAIN.exec(registry) ?? IPV6_DOMAIN.exec(registry) ?? invalidHost(text, registry))[1];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65535))
    throw invalid(text, `bad port ${port}`);
  registry = registry.toLowerCase();
  if (registry === "index.docker.io") registry = DEFAULT_REGISTRY;

  if (repository === "") throw invalid(text, "repository is empty");
  for (const component of repository.split("/")) {
    if (component === "") throw invalid(text, "repository has an empty component");
    if (component !== component.toLowerCase()) throw invalid(text, "repository must be lower case");
    if (!PATH_COMPONENT.test(component))
      throw invalid(text, `bad repository component ${JSON.stringify(component)}`);
  }
  if (registry === DEFAULT_REGISTRY && !repository.includes("/")) repository = `library/${repository}`;
  return { registry, repository };
}

function invalidHost(text: string, host: string): never {
  throw invalid(text, `bad registry host ${JSON.stringify(host)}`);
}

/** "docker.io/library/busybox". */
export function referenceName(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}

/** The normal form with tag or digest. */
export function formatReference(reference: Reference): string {
  const name = referenceName(reference);
  return reference.digest !== undefined
    ? `${name}@${reference.digest}`
    : `${name}:${reference.tag ?? "latest"}`;
}
