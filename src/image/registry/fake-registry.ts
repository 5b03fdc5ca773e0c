/**
 * A registry for tests: speaks the pull side of the distribution specification over plain http, records every
 * request, and lets a test answer any of them itself.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseDigest, type Digest } from "../../base/digest.ts";

export interface RecordedRequest {
  method: string;
  /** With the query. */
  url: string;
  headers: IncomingMessage["headers"];
  body: string;
}

/** Answers a request and returns true, or leaves it to the registry. */
export type Interceptor = (request: RecordedRequest, response: ServerResponse) => boolean | Promise<boolean>;

export function sha256(bytes: Uint8Array): Digest {
  return parseDigest(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
}

export class FakeRegistry {
  readonly requests: RecordedRequest[] = [];
  readonly blobs = new Map<string, Buffer>();
  /** "repository:tag" or "repository@digest". */
  readonly manifests = new Map<string, { bytes: Buffer; mediaType: string }>();
  intercept: Interceptor = () => false;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => this.handle(request, response));
  }

  /** @returns itself, listening on a free port of 127.0.0.1. */
  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** "127.0.0.1:PORT". */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  addBlob(bytes: Buffer): Digest {
    const digest = sha256(bytes);
    this.blobs.set(digest, bytes);
    return digest;
  }

  addManifest(
    repository: string,
    tag: string | undefined,
    document: object,
    mediaType: string,
  ): { digest: Digest; bytes: Buffer } {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = sha256(bytes);
    this.manifests.set(`${repository}@${digest}`, { bytes, mediaType });
    if (tag !== undefined) this.manifests.set(`${repository}:${tag}`, { bytes, mediaType });
    return { digest, bytes };
  }

  /** Requests whose URL contains the text. */
  matching(text: string): RecordedRequest[] {
    return this.requests.filter(({ url }) => url.includes(text));
  }

  /** Answers a request that came in elsewhere, over TLS for one. */
  handle(incoming: IncomingMessage, response: ServerResponse): void {
    void this.#serve(incoming, response);
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of incoming) body += String(chunk);
    const request = {
      method: incoming.method ?? "",
      url: incoming.url ?? "",
      headers: incoming.headers,
      body,
    };
    this.requests.push(request);
    if (await this.intercept(request, response)) return;
    this.#answer(request, response);
  }

  #answer(request: RecordedRequest, response: ServerResponse): void {
    const path = request.url.replace(/\?.*$/, "");
    const [, repository = "", kind, name = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? [];
    if (kind === "manifests") {
      const manifest = this.manifests.get(`${repository}${name.startsWith("sha256:") ? "@" : ":"}${name}`);
      if (!manifest) return refuse(response, 404, "MANIFEST_UNKNOWN");
      response.writeHead(200, {
        "content-type": manifest.mediaType,
        "content-length": manifest.bytes.length,
        "docker-content-digest": sha256(manifest.bytes),
      });
      response.end(request.method === "HEAD" ? undefined : manifest.bytes);
      return;
    }
    const blob = kind === "blobs" ? this.blobs.get(name) : undefined;
    if (!blob) return refuse(response, 404, "BLOB_UNKNOWN");
    sendBlob(blob, request, response);
  }
}

/** Answers with the blob, or the part that the request's Range asks for. */
export function sendBlob(blob: Buffer, request: RecordedRequest, response: ServerResponse): void {
  const from = Number(/^bytes=([0-9]+)-$/.exec(request.headers.range ?? "")?.[1] ?? -1);
  if (from < 0) {
    response.writeHead(200, { "content-length": blob.length });
    response.end(blob);
    return;
  }
  response.writeHead(206, {
    "content-length": blob.length - from,
    "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}`,
  });
  response.end(blob.subarray(from));
}

/** An error answer of the distribution specification. */
export function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ errors: [{ code, message: code.toLowerCase().replaceAll("_", " ") }] }));
}
