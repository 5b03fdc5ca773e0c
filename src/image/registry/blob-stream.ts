/**
 * Downloads one blob as a stream that survives cut connections.
 *
 * After a cut it asks for the rest by Range (RFC 9110, section 14). A host that answers with the whole blob has
 * the part that was already delivered skipped; both are safe, as whoever reads checks the digest of the whole.
 * Attempts are counted from the last progress, so a large blob over a bad line arrives, and a host that sends
 * nothing is left.
 */
import { GantryError } from "../../base/errors.ts";
import type { Descriptor } from "../manifest.ts";
import { connectionFailure, isStalled, RegistryFailure } from "./failure.ts";
import { combineFailures, type HostFailure } from "./host-failures.ts";
import { pause, retryDelay, type RetryPolicy } from "./retry.ts";
import { single, type ExchangeResponse } from "./exchange.ts";
import { isHopeless, type HostSession } from "./session.ts";

export interface BlobDownload {
  /** Put before messages. */
  what: string;
  descriptor: Descriptor;
  /** The hosts to be asked, best first, as of now. */
  candidates: () => HostSession[];
  retries: RetryPolicy;
  onHostFailed: (session: HostSession, error: unknown) => void;
}

/** Less than this between two cuts does not count as progress. */
const PROGRESS_BYTES = 64 * 1024;

export async function* blobStream(
  download: BlobDownload,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const size = download.descriptor.sizeBytes;
  const failures: HostFailure[] = [];
  const tried = new Set<HostSession>();
  const stalled = new Set<HostSession>();
  const others = (session: HostSession): boolean =>
    download.candidates().some((candidate) => candidate !== session && !tried.has(candidate));
  let offset = 0;
  for (;;) {
    const session = download.candidates().find((candidate) => !tried.has(candidate));
    if (!session) throw combineFailures(download.what, failures);
    for (let attempt = 1; ; attempt += 1) {
      const start = offset;
      try {
        for await (const chunk of fetchRest(session, download.descriptor, offset, signal)) {
          offset += chunk.length;
          yield chunk;
        }
        if (offset === size) return;
        throw new RegistryFailure(
          "data-loss",
          `registry ${session.host.baseUrl.host}: blob ends after ${offset} of ${size} bytes`,
          {
            transient: true,
          },
        );
      } catch (error) {
        signal.throwIfAborted();
        if (offset > size) throw error;
        if (offset - start >= PROGRESS_BYTES) attempt = 1;
        if (isStalled(error) && !stalled.has(session) && others(session)) {
          // Better than to wait for it again; it is asked once more if the others fail.
          stalled.add(session);
          download.onHostFailed(session, error);
          break;
        }
        const delay = isHopeless(session, error) ? undefined : retryDelay(download.retries, attempt, error);
        if (delay === undefined) {
          failures.push({ session, error });
          tried.add(session);
          download.onHostFailed(session, error);
          break;
        }
        await pause(delay, signal);
      }
    }
  }
}

/** The bytes from `offset` on, from one answer of one host. */
async function* fetchRest(
  session: HostSession,
  descriptor: Descriptor,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const { digest, sizeBytes } = descriptor;
  const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
  const response = await session.request(
    { method: "GET", path: `blobs/${digest}`, headers, verified: true },
    signal,
  );
  const { body } = response;
  // Errors reach the loop below; without a listener one that comes after it has ended would be uncaught.
  body.on("error", () => undefined);
  try {
    let skip = checkRange(response, offset, sizeBytes);
    let left = sizeBytes - offset;
    for await (const piece of body) {
      const chunk = piece as Buffer;
      const fresh = skip > 0 ? chunk.subarray(Math.min(skip, chunk.length)) : chunk;
      skip -= chunk.length - fresh.length;
      if (fresh.length === 0) continue;
      left -= fresh.length;
      if (left < 0)
        throw new GantryError(
          "data-loss",
          `registry ${response.host}: blob ${digest} is longer than ${sizeBytes} bytes`,
        );
      yield fresh;
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GantryError) throw error;
    throw connectionFailure(response.host, error);
  } finally {
    body.destroy();
  }
}

/** How many bytes of this answer were delivered before. */
function checkRange(response: ExchangeResponse, offset: number, sizeBytes: number): number {
  if (response.status !== 206) return offset;
  const range = /^bytes ([0-9]+)-([0-9]+)\/([0-9]+|\*)$/.exec(
    single(response.headers["content-range"]) ?? "",
  );
  const matches =
    offset > 0 &&
    range &&
    Number(range[1]) === offset &&
    (range[3] === "*" || Number(range[3]) === sizeBytes);
  if (!matches)
    throw new RegistryFailure(
      "unavailable",
      `registry ${response.host}: answered another range than asked for`,
      { transient: true },
    );
  return 0;
}
