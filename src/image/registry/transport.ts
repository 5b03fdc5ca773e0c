/**
 * Connections: one pool (an undici agent) for each set of TLS settings, kept while the settings are in use.
 *
 * Certificates are read anew at each pull, so the pools are keyed by content; the least recently used go first.
 * Proxies are taken from HTTPS_PROXY, HTTP_PROXY and NO_PROXY. Nothing here follows redirects.
 */
import { createHash } from "node:crypto";
import { createSecureContext, getCACertificates } from "node:tls";
import { Agent, buildConnector, EnvHttpProxyAgent, type Dispatcher } from "undici";
import { isLoopback, type HostTls } from "./host.ts";

export interface TransportOptions {
  connectTimeoutMs: number;
  /** Until the header of an answer, and between two pieces of its body. */
  idleTimeoutMs: number;
  /** Connections to one host at once. */
  connectionsPerHost: number;
}

const POOLS_LIMIT = 32;
const PROXY_VARIABLES = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];

export class Transport {
  readonly #options: TransportOptions;
  readonly #pools = new Map<string, Dispatcher>();

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** @param host host:port of the target. Loopback ones are never asked through a proxy. */
  dispatcher(host: string, tls: HostTls): Dispatcher {
    const proxied = !isLoopback(host) && PROXY_VARIABLES.some((name) => process.env[name]);
    const key = createHash("sha256")
      .update(JSON.stringify([tls, proxied]))
      .digest("hex");
    let pool = this.#pools.get(key);
    this.#pools.delete(key);
    pool ??= this.#create(tls, proxied);
    this.#pools.set(key, pool);
    for (const [oldest, unused] of this.#pools) {
      if (this.#pools.size <= POOLS_LIMIT) break;
      this.#pools.delete(oldest);
      // Running requests finish first.
      unused.close().catch(() => undefined);
    }
    return pool;
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }

  #create(tls: HostTls, proxied: boolean): Dispatcher {
    const connectOptions = (): buildConnector.BuildOptions => ({
      rejectUnauthorized: !tls.skipVerify,
      timeout: this.#options.connectTimeoutMs,
      allowH2: false,
      secureContext: createSecureContext({
        ca: [...systemCertificates(), ...tls.ca],
        cert: tls.client.map((pair) => pair.cert),
        key: tls.client.map((pair) => pair.key),
      }),
    });
    let secure: buildConnector.connector | undefined;
    const plain = buildConnector({ timeout: this.#options.connectTimeoutMs });
    // Plain http never loads the system's certificates.
    const connect: buildConnector.connector = (target, callback) =>
      target.protocol === "https:"
        ? (secure ??= buildConnector(connectOptions()))(target, callback)
        : plain(target, callback);
    const options = {
      connections: this.#options.connectionsPerHost,
      pipelining: 1,
      allowH2: false,
      headersTimeout: this.#options.idleTimeoutMs,
      bodyTimeout: this.#options.idleTimeoutMs,
      maxHeaderSize: 64 * 1024,
      connect,
    };
    return proxied ? new EnvHttpProxyAgent({ ...options, requestTls: connectOptions() }) : new Agent(options);
  }
}

let certificates: string[] | undefined;

/** What the machine trusts: its own store, which an operator can add to, else the one that comes with Node. */
function systemCertificates(): string[] {
  if (!certificates) {
    const system = getCACertificates("system");
    certificates = [
      ...(system.length > 0 ? system : getCACertificates("bundled")),
      ...getCACertificates("extra"),
    ];
  }
  return certificates;
}
