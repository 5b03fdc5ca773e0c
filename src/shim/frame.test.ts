import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeData, encodeFrame, FieldReader, FrameDecoder } from "./frame.ts";
import { LIMIT, MESSAGE } from "./protocol.ts";

test("a frame is a header and fields, little endian", () => {
  const bytes = encodeFrame(MESSAGE.KILL, 0x01020304, { SIGNAL: 9, PATH: "é" });
  assert.equal(bytes.toString("hex"), "1600000004000000040302010c00000004000000090000001600000002000000c3a9");
});

test("fields come back by name and width, unknown tags are skipped", () => {
  const frame = encodeFrame(MESSAGE.OK, 1, {
    PID: 7,
    EXITED_AT: 2n ** 60n,
    SYSCALL: "open",
    OPERATION: -1,
    PATH: undefined,
  });
  const unknown = Buffer.from("ff7f000002000000abcd", "hex");
  const fields = new FieldReader(Buffer.concat([unknown, frame.subarray(12)]));
  assert.equal(fields.u32("PID"), 7);
  assert.equal(fields.u64("EXITED_AT"), 2n ** 60n);
  assert.equal(fields.u32("EXITED_AT"), undefined);
  assert.equal(fields.text("SYSCALL"), "open");
  assert.equal(fields.i32("OPERATION"), -1);
  assert.equal(fields.text("PATH"), undefined);
});

test("frames are found whatever pieces they come in", () => {
  const bytes = Buffer.concat([
    encodeFrame(1, 1, { PID: 1 }),
    encodeData(MESSAGE.STDIN, 2, Buffer.from("abc")),
    encodeFrame(3, 3),
  ]);
  for (const size of [1, 2, 5, 13, bytes.length]) {
    const decoder = new FrameDecoder();
    const seen: string[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      for (const frame of decoder.push(Buffer.from(bytes.subarray(at, at + size))))
        seen.push(`${frame.type}:${frame.requestId}:${frame.payload.length}`);
    }
    assert.deepEqual(seen, ["1:1:12", "32:2:3", "3:3:0"]);
  }
});

test("data is cut into frames below the limit", () => {
  const data = Buffer.alloc(LIMIT.FRAME * 2 + 1, 5);
  const frames = new FrameDecoder().push(encodeData(MESSAGE.STDIN, 1, data));
  assert.deepEqual(
    frames.map((frame) => frame.payload.length),
    [LIMIT.FRAME, LIMIT.FRAME, 1],
  );
});

test("a frame above the limit and fields that do not fill their frame are refused", () => {
  const huge = Buffer.alloc(12);
  huge.writeUInt32LE(LIMIT.FRAME + 1);
  assert.throws(() => new FrameDecoder().push(huge), /frame of/);
  for (const hex of ["0a", "0a000000040000000100", "0a000000ffffffff"]) {
    assert.throws(() => new FieldReader(Buffer.from(hex, "hex")), /cut short/, hex);
  }
});
