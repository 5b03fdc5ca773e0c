/**
 * One HTTP request and its redirects, without authentication or retries.
 *
 * Headers that are for the host alone (Authorization and those of hosts.toml) and client certificates stay behind
 * as soon as a redirect leads to another origin, and do not come back if a later one returns (CVE-2020-15157,
 * GHSA-rp3h-jf77-q9p4); so does the acceptance of any certificate, as soon as it leads to another host. A redirect from https to http is followed only where a digest checks what arrives.
 */
import type { Dispatcher } from "undici";
import { connectionFailure, RegistryFailure, statusFailure } from "./failure.ts";
import { sharedOrigin, tlsElsewhere, type HostTls } from "./host.ts";
import type { Transport } from "./transport.ts";

export interface ExchangeRequest {
  method: "GET" | "HEAD" | "POST";
  url: URL;
  headers: Record<string, string>;
  /** Only for the origin of `url`. */
  privateHeaders: [name: string, value: string][];
  body?: string;
  tls: HostTls;
  redirects: "none" | "https" | "any";
}

export interface ExchangeResponse {
  status: number;
  headers: Dispatcher.ResponseData["headers"];
  body: Dispatcher.ResponseData["body"];
  /** host:port that answered. */
  host: string;
  /** False when another origin than the one asked answered. */
  ownOrigin: boolean;
}

const REDIRECTS_LIMIT = 5;
const USER_AGENT = "gantry";

/** @throws RegistryFailure without an answer; the reason of the signal after an abort. */
export async function exchange(
  transport: Transport,
  request: ExchangeRequest,
  signal: AbortSignal,
): Promise<ExchangeResponse> {
  let url = request.url;
  let own: "origin" | "name" | "nothing" = "origin";
  for (let hop = 0; ; hop += 1) {
    const headers: Record<string, string | string[]> = {
      "user-agent": USER_AGENT,
      "accept-encoding": "identity",
      ...request.headers,
    };
    const ownOrigin = own === "origin";
    for (const [name, value] of ownOrigin ? request.privateHeaders : []) {
      const before = headers[name];
      headers[name] = before === undefined || name === "authorization" ? value : [before, value].flat();
    }
    const response = await send(
      transport,
      { ...request, tls: tlsElsewhere(request.tls, own) },
      url,
      headers,
      signal,
    );
    const answer = {
      status: response.statusCode,
      headers: response.headers,
      body: response.body,
      host: url.host,
      ownOrigin,
    };
    const location = single(response.headers["location"]);
    if (![301, 302, 303, 307, 308].includes(response.statusCode) || location === undefined) return answer;
    await discard(response.body);
    if (request.redirects === "none" || hop === REDIRECTS_LIMIT) {
      throw new RegistryFailure(
        "unavailable",
        `registry ${url.host}: ${hop === 0 ? "unexpected redirect" : "too many redirects"}`,
      );
    }
    const target = parseTarget(url, location);
    if (url.protocol === "https:" && target.protocol === "http:" && request.redirects !== "any") {
      throw new RegistryFailure(
        "unavailable",
        `registry ${url.host}: refusing a redirect from https to http`,
      );
    }
    const step = sharedOrigin(url, target);
    if (step === "nothing" || own === "origin") own = step;
    url = target;
  }
}

async function send(
  transport: Transport,
  request: ExchangeRequest,
  url: URL,
  headers: Record<string, string | string[]>,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  try {
    return await transport.dispatcher(url.host, request.tls).request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: request.method,
      headers,
      signal,
      ...(request.body === undefined ? {} : { body: request.body }),
    });
  } catch (error) {
    signal.throwIfAborted();
    throw connectionFailure(url.host, error);
  }
}

function parseTarget(from: URL, location: string): URL {
  let target: URL;
  try {
    target = new URL(location, from);
  } catch {
    throw new RegistryFailure("unavailable", `registry ${from.host}: malformed redirect`);
  }
  if (!/^https?:$/.test(target.protocol))
    throw new RegistryFailure("unavailable", `registry ${from.host}: redirect to a scheme that is not http`);
  target.username = "";
  target.password = "";
  return target;
}

/** The first value of a header. */
export function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** Reads and drops a short rest of a body, so that the connection can serve again. */
export async function discard(body: Dispatcher.ResponseData["body"]): Promise<void> {
  body.on("error", () => undefined);
  await body.dump({ limit: 64 * 1024 }).catch(() => undefined);
}

/**
 * Reads a body whole.
 *
 * @throws resource-exhausted when it is larger than the limit (CVE-2023-25153), RegistryFailure when it breaks off.
 */
export async function readBody(
  response: ExchangeResponse,
  what: string,
  limitBytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const tooLarge = new RegistryFailure("resource-exhausted", `${what} is larger than ${limitBytes} bytes`);
  try {
    if (Number(single(response.headers["content-length"]) ?? 0) > limitBytes) throw tooLarge;
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of response.body) {
      size += (chunk as Buffer).length;
      if (size > limitBytes) throw tooLarge;
      chunks.push(chunk as Buffer);
    }
    return Buffer.concat(chunks, size);
  } catch (error) {
    response.body.on("error", () => undefined).destroy();
    signal.throwIfAborted();
    throw connectionFailure(response.host, error);
  }
}

/** Consumes the answer of a failed request. The registry's own message is used only when it spoke itself. */
export async function answerFailure(
  response: ExchangeResponse,
  signal: AbortSignal,
): Promise<RegistryFailure> {
  let note = "";
  if (response.ownOrigin) {
    try {
      note = errorNote(await readBody(response, "error answer", 64 * 1024, signal));
    } catch {
      signal.throwIfAborted();
    }
  } else await discard(response.body);
  return statusFailure(response.host, response.status, note, single(response.headers["retry-after"]));
}

/** `errors[0]` of the distribution specification's error body, in printable ASCII, at most 200 characters. */
function errorNote(bytes: Buffer): string {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    return "";
  }
  const errors = json !== null && typeof json === "object" && "errors" in json ? json.errors : undefined;
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  if (first === null || typeof first !== "object") return "";
  const parts = ["code", "message"]
    .map((name) => (first as Record<string, unknown>)[name])
    .filter((part) => typeof part === "string");
  return parts
    .join(": ")
    .replace(/[^\x20-\x7e]/g, "?")
    .slice(0, 200);
}
