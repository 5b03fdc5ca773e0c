/**
 * The registry client: opens repositories. What is shared between pulls is here (connections, tokens); what
 * belongs to one pull is in Repository.
 */
import type { Logger } from "../../base/logger.ts";
import type { RegistryAuth } from "../image.ts";
import type { Reference } from "../reference.ts";
import { credentialsForHost, parseCredentials } from "./credentials.ts";
import { findHosts, type HostsOptions } from "./hosts.ts";
import type { ProgressWatch } from "./progress.ts";
import { Repository } from "./repository.ts";
import type { RetryPolicy } from "./retry.ts";
import { HostSession } from "./session.ts";
import { TokenSource } from "./token.ts";
import { Transport, type TransportOptions } from "./transport.ts";

export interface RegistryClientOptions {
  hosts: HostsOptions;
  transport: TransportOptions;
  retries: RetryPolicy;
  log: Logger;
}

export class RegistryClient {
  readonly #options: RegistryClientOptions;
  readonly #transport: Transport;
  readonly #tokens: TokenSource;

  constructor(options: RegistryClientOptions) {
    this.#options = options;
    this.#transport = new Transport(options.transport);
    this.#tokens = new TokenSource(this.#transport);
  }

  /**
   * Sends nothing yet.
   *
   * @throws invalid-argument for malformed credentials, failed-precondition for a wrong hosts file.
   */
  async open(
    reference: Reference,
    auth: RegistryAuth | undefined,
    progress: ProgressWatch,
  ): Promise<Repository> {
    const credentials = parseCredentials(auth);
    const hosts = await findHosts(reference.registry, this.#options.hosts);
    const sessions = hosts.map((host) => {
      const own = credentialsForHost(credentials, auth?.serverAddress, reference.registry, host);
      return new HostSession(host, reference.repository, own, this.#transport, this.#tokens);
    });
    return new Repository(reference, sessions, { ...this.#options, progress });
  }

  /** Cuts all connections. */
  async close(): Promise<void> {
    await this.#transport.close();
  }
}
