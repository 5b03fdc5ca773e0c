/**
 * Bearer tokens (the distribution project's token and OAuth2 specifications): from a challenge to a token, cached
 * by realm, service, scope and credentials until it expires.
 *
 * A registry may send its clients to any realm, as docker.io does to auth.docker.io; so an https registry cannot
 * make Gantry show credentials in the clear, and no realm is on a link-local address, where clouds keep the node's
 * own secrets.
 */
import { BlockList, isIP } from "node:net";
import { SingleFlight } from "../../base/single-flight.ts";
import { authFingerprint, type Credentials } from "./credentials.ts";
import { answerFailure, exchange, readBody, type ExchangeRequest } from "./exchange.ts";
import { RegistryFailure } from "./failure.ts";
import { sharedOrigin, tlsElsewhere, type RegistryHost } from "./host.ts";
import type { Transport } from "./transport.ts";

export interface TokenRequest {
  host: RegistryHost;
  realm: string;
  service: string | undefined;
  scope: string;
  credentials: Credentials | undefined;
}

interface Token {
  token: string;
  expiresAtMs: number;
}

const CACHE_LIMIT = 512;
const DEFAULT_LIFE_S = 60;
const RESPONSE_LIMIT_BYTES = 1024 * 1024;

export class TokenSource {
  readonly #transport: Transport;
  readonly #cache = new Map<string, Token>();
  readonly #fetching = new SingleFlight<Token>();

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * @param refused a token that the registry has just turned down, never returned from the cache.
   * @throws unauthenticated or permission-denied when the realm refuses, failed-precondition for a realm that must
   *   not get the credentials, RegistryFailure otherwise.
   */
  async token(request: TokenRequest, refused: string | undefined, signal: AbortSignal): Promise<string> {
    const key = JSON.stringify([
      request.host.baseUrl.origin,
      request.realm,
      request.service,
      request.scope,
      authFingerprint(request.credentials),
    ]);
    const known = this.#cache.get(key);
    if (known && known.token !== refused && known.expiresAtMs > Date.now()) return known.token;
    const fetched = await this.#fetching.do(key, signal, async (shared) => {
      const token = await this.#fetch(request, shared);
      this.#cache.delete(key);
      this.#cache.set(key, token);
      for (const oldest of this.#cache.keys()) {
        if (this.#cache.size <= CACHE_LIMIT) break;
        this.#cache.delete(oldest);
      }
      return token;
    });
    return fetched.token;
  }

  async #fetch(request: TokenRequest, signal: AbortSignal): Promise<Token> {
    const url = checkRealm(request);
    const { basic, identityToken } = request.credentials ?? {};
    const { baseUrl, tls } = request.host;
    const base = { url, tls: tlsElsewhere(tls, sharedOrigin(baseUrl, url)), redirects: "none" as const };
    let call: ExchangeRequest;
    if (identityToken !== undefined) {
      const form = new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: identityToken,
        client_id: "gantry",
        scope: request.scope,
      });
      if (request.service !== undefined) form.set("service", request.service);
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      call = { ...base, method: "POST", headers, privateHeaders: [], body: form.toString() };
    } else {
      if (request.service !== undefined) url.searchParams.set("service", request.service);
      for (const scope of request.scope.split(" ")) url.searchParams.append("scope", scope);
      call = {
        ...base,
        method: "GET",
        headers: {},
        privateHeaders: basic ? [["authorization", basicHeader(basic)]] : [],
      };
    }
    const response = await exchange(this.#transport, call, signal);
    if (response.status !== 200) {
      const failure = await answerFailure(response, signal);
      // Realms answer 400 and 404 to credentials that they do not know.
      const kind =
        failure.status !== undefined && [400, 401, 404].includes(failure.status)
          ? "unauthenticated"
          : failure.kind;
      throw new RegistryFailure(kind, `token realm of ${request.host.baseUrl.host}: ${failure.message}`, {
        transient: failure.transient,
        ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }),
      });
    }
    return parseToken(url.host, await readBody(response, "token answer", RESPONSE_LIMIT_BYTES, signal));
  }
}

export function basicHeader(basic: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${basic.username}:${basic.password}`, "utf8").toString("base64")}`;
}

function checkRealm(request: TokenRequest): URL {
  const registry = request.host.baseUrl;
  const refuse = (reason: string): RegistryFailure =>
    new RegistryFailure("failed-precondition", `registry ${registry.host}: token realm ${reason}`);
  let url: URL;
  try {
    url = new URL(request.realm);
  } catch {
    throw refuse("is not an address");
  }
  if (!/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "")
    throw refuse("is not a plain http or https address");
  if (isLinkLocal(url.hostname)) throw refuse(`${url.host} is a link-local address`);
  if (url.protocol === "http:" && registry.protocol === "https:" && request.credentials !== undefined) {
    throw refuse(`${url.host} would get the credentials unencrypted`);
  }
  return url;
}

const linkLocal = new BlockList();
linkLocal.addSubnet("169.254.0.0", 16, "ipv4");
linkLocal.addSubnet("fe80::", 10, "ipv6");

/** Also of an IPv4 address that is written as an IPv6 one. */
function isLinkLocal(hostname: string): boolean {
  const address = hostname.replace(/^\[(.*)\]$/, "$1");
  return isIP(address) !== 0 && linkLocal.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}

function parseToken(host: string, bytes: Buffer): Token {
  const malformed = new RegistryFailure("unavailable", `token realm ${host}: malformed answer`);
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw malformed;
  }
  if (json === null || typeof json !== "object") throw malformed;
  const { token, access_token: accessToken, expires_in: expiresIn } = json as Record<string, unknown>;
  const value = token || accessToken;
  if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value)) throw malformed;
  const lifeS = typeof expiresIn === "number" && expiresIn > 0 ? Math.min(expiresIn, 86_400) : DEFAULT_LIFE_S;
  // Used no longer than nine tenths of its life, as the clocks and the way there differ.
  return { token: value, expiresAtMs: Date.now() + lifeS * 900 };
}
