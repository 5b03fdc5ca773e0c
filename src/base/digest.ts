/**
 * Content digests as the OCI image specification writes them (descriptor.md, "Digests"): `sha256:` and 64 lower
 * case hex digits. Nothing else is ever used to build a path (CVE-2024-3727).
 */
import { GantryError } from "./errors.ts";

declare const digestBrand: unique symbol;
/** A checked digest. Its hex part is safe as a file name. */
export type Digest = string & { readonly [digestBrand]: true };

const SHA256 = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return SHA256.test(text);
}

/** @throws GantryError invalid-argument for anything but a well-formed sha256 digest. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text))
    throw new GantryError("invalid-argument", `digest ${JSON.stringify(text)} is not a sha256 digest`);
  return text;
}

/** The 64 hex digits, for file names. */
export function digestHex(digest: Digest): string {
  return digest.slice("sha256:".length);
}
