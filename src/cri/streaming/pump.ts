/** Bytes from one stream to another, with back-pressure, and the end of the one as the end of the other. */
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";

/**
 * Resolves when all that `from` has was taken by `to` and the end was passed on. Neither is destroyed; two pumps may
 * share two duplex streams, in opposite directions.
 *
 * @throws where either breaks off.
 */
export async function pump(from: Readable, to: Writable): Promise<void> {
  from.pipe(to);
  try {
    await Promise.all([finished(from, { writable: false }), finished(to, { readable: false })]);
  } finally {
    from.unpipe(to);
  }
}
