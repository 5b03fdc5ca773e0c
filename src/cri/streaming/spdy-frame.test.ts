import assert from "node:assert/strict";
import test from "node:test";
import {
  controlFrame,
  dataHeader,
  MAX_CONTROL_BYTES,
  numbersFrame,
  SPDY_FRAME,
  SpdyDecoder,
  type SpdyFrame,
} from "./spdy-frame.ts";

const SAMPLE = Buffer.concat([
  controlFrame(SPDY_FRAME.SYN_STREAM, Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 8]), 1),
  dataHeader(1, 5, true),
  Buffer.from("hello"),
  dataHeader(3, 0, true),
  numbersFrame(SPDY_FRAME.RST_STREAM, 1, 5),
  controlFrame(99, Buffer.from("unknown")),
  numbersFrame(SPDY_FRAME.PING, 7),
  controlFrame(SPDY_FRAME.SETTINGS, Buffer.from([0, 0, 0, 1, 0, 0, 0, 7, 0, 1, 0, 0])),
  numbersFrame(SPDY_FRAME.WINDOW_UPDATE, 0x8000_0003, 0x8000_0004),
  numbersFrame(SPDY_FRAME.GOAWAY, 1, 0),
]);

const FRAMES: SpdyFrame[] = [
  { type: "syn-stream", streamId: 1, fin: true, block: Buffer.from([7, 8]) },
  { type: "data", streamId: 1, bytes: Buffer.from("hello"), fin: true },
  { type: "data", streamId: 3, bytes: Buffer.alloc(0), fin: true },
  { type: "reset", streamId: 1 },
  { type: "ping", id: 7 },
  { type: "settings", initialWindow: 65_536 },
  { type: "window-update", streamId: 3, delta: 4 },
  { type: "goaway" },
];

test("frames that come at once", () => {
  assert.deepEqual(new SpdyDecoder().push(SAMPLE), FRAMES);
});

test("frames that come byte by byte; data is not gathered", () => {
  const decoder = new SpdyDecoder();
  const frames = [...SAMPLE].flatMap((byte) => decoder.push(Buffer.of(byte)));
  const data = frames.filter((frame) => frame.type === "data" && frame.streamId === 1);
  assert.equal(data.length, 5);
  assert.deepEqual(
    data.map((frame) => frame.type === "data" && frame.fin),
    [false, false, false, false, true],
  );
  assert.deepEqual(
    frames.filter((frame) => !data.includes(frame)),
    FRAMES.filter((frame) => !(frame.type === "data" && frame.streamId === 1)),
  );
});

test("control frames are bounded, whole and of version 3", () => {
  const giant = Buffer.from([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]);
  assert.throws(() => new SpdyDecoder().push(giant), /control frame of 16777215 bytes/);
  const largest = controlFrame(99, Buffer.alloc(MAX_CONTROL_BYTES));
  assert.deepEqual(new SpdyDecoder().push(largest), []);
  assert.throws(() => new SpdyDecoder().push(Buffer.from([0x80, 2, 0, 1, 0, 0, 0, 0])), /not version 3/);
  for (const type of Object.values(SPDY_FRAME).filter((each) => each !== SPDY_FRAME.SETTINGS)) {
    if (type === SPDY_FRAME.GOAWAY) continue;
    assert.throws(() => new SpdyDecoder().push(controlFrame(type, Buffer.alloc(3))), /cut short/);
  }
});

test("random bytes make an error or frames, nothing else", () => {
  let seed = 1;
  const random = (): number => (seed = (seed * 48_271) % 0x7fff_ffff);
  for (let round = 0; round < 2000; round++) {
    const bytes = Buffer.from(Array.from({ length: random() % 200 }, () => random() % 256));
    if (round % 2 === 0 && bytes.length > 8) bytes.set([0x80, 3, 0, random() % 12, 0, 0, 0, random() % 32]);
    const decoder = new SpdyDecoder();
    try {
      decoder.push(bytes);
    } catch (error) {
      assert.match(String(error), /spdy: /);
    }
  }
});
