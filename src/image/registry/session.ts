/**
 * One host during one pull of one repository: adds what the host is to see (credentials, headers, `ns`), answers
 * its challenges, and remembers the answer for the next request.
 */
import { parseChallenges } from "./challenge.ts";
import type { Credentials } from "./credentials.ts";
import { answerFailure, exchange, type ExchangeResponse } from "./exchange.ts";
import { RegistryFailure } from "./failure.ts";
import type { RegistryHost } from "./host.ts";
import { basicHeader, type TokenSource } from "./token.ts";
import type { Transport } from "./transport.ts";

export interface SessionRequest {
  method: "GET" | "HEAD";
  /** Below the repository: "manifests/latest". */
  path: string;
  headers: Record<string, string>;
  /** What arrives is checked against a digest known before. */
  verified: boolean;
}

export class HostSession {
  readonly host: RegistryHost;
  /** It has answered in this session, so that a refused connection now is a passing trouble. */
  reached = false;
  readonly #repository: string;
  readonly #credentials: Credentials | undefined;
  readonly #transport: Transport;
  readonly #tokens: TokenSource;
  #authorization: string | undefined;

  constructor(
    host: RegistryHost,
    repository: string,
    credentials: Credentials | undefined,
    transport: Transport,
    tokens: TokenSource,
  ) {
    this.host = host;
    this.#repository = repository;
    this.#credentials = credentials;
    this.#transport = transport;
    this.#tokens = tokens;
    if (credentials?.registryToken !== undefined) this.#authorization = `Bearer ${credentials.registryToken}`;
  }

  /**
   * Resolves with a 2xx answer, whose body the caller consumes.
   *
   * @throws RegistryFailure for every other one, unauthenticated when no credentials satisfy the host.
   */
  async request(request: SessionRequest, signal: AbortSignal): Promise<ExchangeResponse> {
    let refused: string | undefined;
    for (let round = 0; ; round += 1) {
      const sent = this.#authorization;
      const response = await this.#send(request, sent, signal);
      this.reached = true;
      if (response.status >= 200 && response.status < 300) return response;
      const challenge = response.headers["www-authenticate"];
      const failure = await answerFailure(response, signal);
      // A challenge of whoever a redirect led to is not for these credentials.
      if (response.status !== 401 || !response.ownOrigin || round >= 2) throw failure;
      const next = await this.#answer(challenge, sent, refused, signal);
      if (next === undefined || next === sent) throw failure;
      refused = sent;
      this.#authorization = next;
    }
  }

  async #send(
    request: SessionRequest,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<ExchangeResponse> {
    const { baseUrl, headers, namespace } = this.host;
    const url = new URL(baseUrl);
    url.pathname = `${baseUrl.pathname.replace(/\/$/, "")}/${this.#repository}/${request.path}`;
    if (namespace !== undefined) url.searchParams.set("ns", namespace);
    const privateHeaders = headers.slice();
    if (authorization !== undefined) privateHeaders.push(["authorization", authorization]);
    return await exchange(
      this.#transport,
      {
        method: request.method,
        url,
        headers: request.headers,
        privateHeaders,
        tls: this.host.tls,
        redirects: request.verified ? "any" : "https",
      },
      signal,
    );
  }

  /** The Authorization header that answers the challenge; undefined where there is none to give. */
  async #answer(
    challenge: string | string[] | undefined,
    sent: string | undefined,
    refused: string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    // Another request of this session has answered it meanwhile.
    if (this.#authorization !== sent && this.#authorization !== refused) return this.#authorization;
    const challenges = parseChallenges(challenge);
    const bearer = challenges.find((item) => item.scheme === "bearer" && item.parameters.has("realm"));
    if (bearer && this.#credentials?.registryToken === undefined) {
      const token = await this.#tokens.token(
        {
          host: this.host,
          realm: bearer.parameters.get("realm") ?? "",
          service: bearer.parameters.get("service"),
          scope: bearer.parameters.get("scope") || `repository:${this.#repository}:pull`,
          credentials: this.#credentials,
        },
        sent?.replace(/^Bearer /, ""),
        signal,
      );
      return `Bearer ${token}`;
    }
    const basic = this.#credentials?.basic;
    if (basic && challenges.some((item) => item.scheme === "basic")) return basicHeader(basic);
    return undefined;
  }
}

/** A host that was never reached is not worth the waits; another host, or the next pull, is. */
export function isHopeless(session: HostSession, error: unknown): boolean {
  return error instanceof RegistryFailure && error.unreachable && !session.reached;
}
