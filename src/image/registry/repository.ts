/**
 * A repository as one pull sees it: its mirrors and its server behind three questions (what is the digest of a
 * tag, what is this manifest, give me this blob). Each is put to one host after the other until one answers.
 *
 * A host that fails is asked last from then on, so that a dead mirror costs one attempt and not one for each
 * layer.
 */
import { createHash } from "node:crypto";
import { isDigest, parseDigest, type Digest } from "../../base/digest.ts";
import { errorKind, errorMessage } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { Descriptor } from "../manifest.ts";
import { MANIFEST_TYPES } from "../media-type.ts";
import type { Reference } from "../reference.ts";
import { blobStream } from "./blob-stream.ts";
import { discard, readBody, single, type ExchangeResponse } from "./exchange.ts";
import { RegistryFailure } from "./failure.ts";
import { combineFailures, type HostFailure } from "./host-failures.ts";
import type { ProgressWatch } from "./progress.ts";
import { withRetries, type RetryPolicy } from "./retry.ts";
import { isHopeless, type HostSession, type SessionRequest } from "./session.ts";

export interface FetchedManifest {
  bytes: Buffer;
  /** Of the bytes, computed here. */
  digest: Digest;
  /** The Content-Type without parameters. */
  contentType: string | undefined;
}

export interface RepositoryOptions {
  retries: RetryPolicy;
  /** Told of all waiting and of what arrives. */
  progress: ProgressWatch;
  log: Logger;
}

export class Repository {
  readonly #reference: Reference;
  readonly #sessions: HostSession[];
  readonly #options: RepositoryOptions;

  /** @param sessions in the order to be asked, at least one. */
  constructor(reference: Reference, sessions: HostSession[], options: RepositoryOptions) {
    this.#reference = reference;
    this.#sessions = sessions;
    this.#options = options;
  }

  /**
   * The digest that the registry names for the reference, without fetching it: a hint, for telling that nothing
   * has changed. Undefined where the registry gives none.
   */
  async head(signal: AbortSignal): Promise<Digest | undefined> {
    const request = { method: "HEAD" as const, ...this.#manifestRequest(undefined) };
    try {
      return await this.#ask(this.#reference.digest === undefined, "", signal, async (session) => {
        const response = await session.request(request, signal);
        await discard(response.body);
        const digest = single(response.headers["docker-content-digest"]);
        return digest !== undefined && isDigest(digest) ? digest : undefined;
      });
    } catch (error) {
      // Some registries know no HEAD; whatever is really wrong will show at the GET.
      if (error instanceof RegistryFailure && error.status !== undefined && error.kind === "unavailable")
        return undefined;
      throw error;
    }
  }

  /**
   * @param digest a part of an index; undefined for what the reference names.
   * @throws data-loss when the bytes are not those of a digest that was asked for, resource-exhausted when they are too many.
   */
  async manifest(
    digest: Digest | undefined,
    limitBytes: number,
    signal: AbortSignal,
  ): Promise<FetchedManifest> {
    const wanted = digest ?? this.#reference.digest;
    const what = digest === undefined ? "" : `manifest ${digest}: `;
    const request = { method: "GET" as const, ...this.#manifestRequest(digest) };
    return await this.#ask(wanted === undefined, what, signal, async (session) => {
      const { response, bytes } = await this.#read(session, request, "manifest", limitBytes, signal);
      const actual = sha256(bytes);
      if (wanted !== undefined && actual !== wanted) {
        throw new RegistryFailure("data-loss", `registry ${response.host}: manifest has digest ${actual}`);
      }
      const contentType = single(response.headers["content-type"])?.replace(/;.*$/, "").trim().toLowerCase();
      return { bytes, digest: actual, contentType };
    });
  }

  /** A small blob, whole. @throws data-loss when size or digest differ. */
  async blob(descriptor: Descriptor, signal: AbortSignal): Promise<Buffer> {
    const { digest, sizeBytes } = descriptor;
    const request = { method: "GET" as const, path: `blobs/${digest}`, headers: {}, verified: true };
    return await this.#ask(false, `blob ${digest}: `, signal, async (session) => {
      const { response, bytes } = await this.#read(session, request, `blob ${digest}`, sizeBytes, signal);
      if (bytes.length !== sizeBytes || sha256(bytes) !== digest) {
        throw new RegistryFailure(
          "data-loss",
          `registry ${response.host}: blob does not match its digest and size`,
        );
      }
      return bytes;
    });
  }

  /**
   * The bytes of a blob, as they arrive. The download starts with the first `next`, goes on after a cut
   * connection where it stopped, and turns to the next host when one is at its end. The bytes are unverified.
   */
  blobStream(descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const candidates = (): HostSession[] => this.#candidates(false);
    const { retries, progress } = this.#options;
    const stream = blobStream(
      {
        what: `blob ${descriptor.digest}: `,
        descriptor,
        candidates,
        retries,
        onHostFailed: (session, error) => {
          // A mirror that lacks one layer may well have the next.
          if (errorKind(error) !== "not-found") this.#demote(session, error);
        },
      },
      signal,
    );
    return progress.during(stream);
  }

  /** The same without mirrors, for when what they serve proved wrong; undefined where that is no difference. */
  withoutMirrors(): Repository | undefined {
    const servers = this.#sessions.filter(({ host }) => host.isServer);
    if (servers.length === 0 || servers.length === this.#sessions.length) return undefined;
    return new Repository(this.#reference, servers, this.#options);
  }

  #manifestRequest(digest: Digest | undefined): Omit<SessionRequest, "method"> {
    const wanted = digest ?? this.#reference.digest;
    const path = `manifests/${wanted ?? this.#reference.tag ?? "latest"}`;
    return { path, headers: { accept: MANIFEST_TYPES.join(", ") }, verified: wanted !== undefined };
  }

  #candidates(resolve: boolean): HostSession[] {
    return this.#sessions.filter(({ host }) => (resolve ? host.resolve : host.pull));
  }

  #demote(session: HostSession, error: unknown): void {
    this.#options.log.debug(
      { registry: session.host.baseUrl.host, error: errorMessage(error) },
      "registry host failed",
    );
    const index = this.#sessions.indexOf(session);
    if (index < 0 || index === this.#sessions.length - 1) return;
    this.#sessions.splice(index, 1);
    this.#sessions.push(session);
  }

  async #read(
    session: HostSession,
    request: SessionRequest,
    what: string,
    limitBytes: number,
    signal: AbortSignal,
  ): Promise<{ response: ExchangeResponse; bytes: Buffer }> {
    const response = await session.request(request, signal);
    return { response, bytes: await readBody(response, what, limitBytes, signal) };
  }

  /** Puts the question to the hosts in turn. What the registry itself says decides the error's kind. */
  async #ask<T>(
    resolve: boolean,
    what: string,
    signal: AbortSignal,
    question: (session: HostSession) => Promise<T>,
  ): Promise<T> {
    const failures: HostFailure[] = [];
    const { retries, progress } = this.#options;
    const candidates = this.#candidates(resolve);
    for (const [index, session] of candidates.entries()) {
      const last = index === candidates.length - 1;
      const policy = last ? retries : { ...retries, attempts: Math.min(2, retries.attempts) };
      try {
        const answer = withRetries(policy, signal, async () => {
          try {
            return await question(session);
          } catch (error) {
            if (isHopeless(session, error)) throw unretriable(error);
            throw error;
          }
        });
        return await progress.untilAnswer(answer);
      } catch (error) {
        signal.throwIfAborted();
        failures.push({ session, error });
        if (!last) this.#demote(session, error);
      }
    }
    throw combineFailures(what, failures);
  }
}

function unretriable(error: unknown): RegistryFailure {
  return new RegistryFailure("unavailable", errorMessage(error), {
    transient: false,
    unreachable: true,
    cause: error,
  });
}

function sha256(bytes: Uint8Array): Digest {
  return parseDigest(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
}
