/**
 * Credentials of one pull: from what the call carries to what may be shown to one host.
 *
 * They belong to the registry that the reference names. A serverAddress that names another host keeps them from
 * being sent there at all, and a mirror gets them only when the serverAddress names that mirror.
 */
import { createHmac, randomBytes } from "node:crypto";
import { GantryError } from "../../base/errors.ts";
import type { RegistryAuth } from "../image.ts";
import type { RegistryHost } from "./host.ts";

export interface Credentials {
  basic: { username: string; password: string } | undefined;
  /** OAuth2 refresh token. */
  identityToken: string | undefined;
  /** Sent as it is, as a bearer token. */
  registryToken: string | undefined;
}

/** @throws invalid-argument for an `auth` that is not base64 of `username:password`. */
export function parseCredentials(auth: RegistryAuth | undefined): Credentials | undefined {
  if (!auth) return undefined;
  let basic: Credentials["basic"];
  let identityToken = auth.identityToken || undefined;
  if (auth.username) basic = { username: auth.username, password: auth.password ?? "" };
  else if (auth.auth) basic = decodeAuth(auth.auth);
  // `docker login` marks a token by this name.
  if (basic?.username === "<token>") {
    identityToken ??= basic.password;
    basic = undefined;
  }
  const registryToken = auth.registryToken || undefined;
  if (registryToken !== undefined && !/^[\x21-\x7e]+$/.test(registryToken)) {
    throw new GantryError("invalid-argument", "registry token has characters that no header can hold");
  }
  return basic || identityToken || registryToken ? { basic, identityToken, registryToken } : undefined;
}

function decodeAuth(text: string): { username: string; password: string } {
  const decoded = Buffer.from(text, "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  if (colon <= 0 || !/^[A-Za-z0-9+/_-]+={0,2}$/.test(text.trim())) {
    throw new GantryError(
      "invalid-argument",
      "auth of the registry credentials is not base64 of username:password",
    );
  }
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, "") };
}

/** "https://index.docker.io/v1/" and "docker.io" are one; others are host and port without scheme and path. */
function normaliseServer(address: string): string {
  const host = address
    .trim()
    .replace(/^[a-z]+:\/\//i, "")
    .replace(/[/?#].*$/, "")
    .toLowerCase();
  return ["index.docker.io", "registry-1.docker.io"].includes(host) ? "docker.io" : host;
}

/**
 * What of the call's credentials this host may see.
 *
 * @param registry as the reference names it.
 */
export function credentialsForHost(
  credentials: Credentials | undefined,
  serverAddress: string | undefined,
  registry: string,
  host: RegistryHost,
): Credentials | undefined {
  if (!serverAddress) return host.isServer ? credentials : undefined;
  const named = normaliseServer(serverAddress);
  if (named === normaliseServer(registry)) return host.isServer ? credentials : undefined;
  return named === normaliseServer(host.baseUrl.host) ? credentials : undefined;
}

const fingerprintKey = randomBytes(32);

/** Tells whether two calls carry the same credentials, without keeping them. Valid within this process. */
export function authFingerprint(auth: RegistryAuth | Credentials | undefined): string {
  if (auth === undefined) return "";
  const fields = Object.entries(auth).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHmac("sha256", fingerprintKey).update(JSON.stringify(fields)).digest("hex");
}
