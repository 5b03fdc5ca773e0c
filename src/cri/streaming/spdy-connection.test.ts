/** What a client that keeps to windows, or pretends to, can make the connection do and hold. */
import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import test from "node:test";
import { SpdyConnection } from "./spdy-connection.ts";
import { controlFrame, dataHeader, numbersFrame, SPDY_FRAME, SpdyDecoder } from "./spdy-frame.ts";
import { SpdyHeaderWriter } from "./spdy-headers.ts";

test("others have their turn between the frames of one chunk", async () => {
  const [socket, client] = duplexPair();
  const connection = new SpdyConnection(socket, { onStream: (stream) => stream.resume() });
  let turns = 0;
  const count = (): void => void (turns++, (next = setImmediate(count)));
  let next = setImmediate(count);
  const last = 9_999;
  const pings = Array.from({ length: (last + 1) / 2 }, (_, index) =>
    numbersFrame(SPDY_FRAME.PING, 2 * index + 1),
  );
  const decoder = new SpdyDecoder();
  let first: number | undefined;
  client.write(Buffer.concat(pings));
  answers: for await (const chunk of client)
    for (const frame of decoder.push(chunk as Buffer)) {
      first ??= turns;
      if (frame.type === "ping" && frame.id === last) break answers;
    }
  assert.ok(turns - (first ?? 0) >= 10, `${turns} turns`);
  clearImmediate(next);
  connection.destroy();
});

test("what waits for all streams together is bounded, windows or not", async () => {
  const [socket, client] = duplexPair();
  const connection = new SpdyConnection(socket, { onStream: () => undefined });
  client.resume();
  const send = (bytes: Buffer): Promise<void> =>
    new Promise((resolve) => client.write(bytes, () => resolve()));
  await send(numbersFrame(SPDY_FRAME.WINDOW_UPDATE, 0, 1_000_000));
  const headers = new SpdyHeaderWriter();
  const piece = Buffer.alloc(32 * 1024);
  let sent = 0;
  const flood = (async () => {
    for (let id = 1; id < 400; id += 2) {
      const start = Buffer.alloc(10);
      start.writeUInt32BE(id);
      await send(controlFrame(SPDY_FRAME.SYN_STREAM, Buffer.concat([start, headers.block(new Map())])));
      for (let count = 0; count < 6; count++) {
        await send(Buffer.concat([dataHeader(id, piece.length, false), piece]));
        sent += piece.length;
      }
    }
    return "took everything";
  })();
  let before = -1;
  const held = (async () => {
    while (sent > before) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    return "held up";
  })();
  assert.equal(await Promise.race([flood, held]), "held up", `${sent} bytes`);
  connection.destroy();
});
