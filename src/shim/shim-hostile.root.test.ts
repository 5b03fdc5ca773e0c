/** Malformed and unexpected frames: answered with an error or a closed connection, and the shim goes on. */
import assert from "node:assert/strict";
import { createConnection } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { patient } from "../../test/harness/patience.ts";
import { helloFrame } from "./connection.ts";
import { encodeData, encodeFrame, FieldReader, FrameDecoder } from "./frame.ts";
import { LIMIT, MESSAGE } from "./protocol.ts";
import { ended, runExec, shell, shimFixture, stubPlan } from "./stub-shim.ts";

/**
 * Sends bytes and gives the frames that came back until the peer closed, or was silent for a while after as many as are
 * expected.
 */
function converse(
  path: string,
  expected: number,
  ...pieces: Uint8Array[]
): Promise<{ type: number; requestId: number; errno: number }[]> {
  return new Promise((resolve) => {
    const decoder = new FrameDecoder();
    const replies: { type: number; requestId: number; errno: number }[] = [];
    const socket = createConnection({ path }, () => {
      for (const piece of pieces) socket.write(piece);
    });
    const wait = (): NodeJS.Timeout =>
      setTimeout(() => socket.destroy(), replies.length < expected ? patient(20_000) : 150);
    let silence = wait();
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      for (const { type, requestId, payload } of decoder.push(chunk))
        replies.push({
          type,
          requestId,
          errno: (type === MESSAGE.ERROR && new FieldReader(payload).u32("ERRNO")) || 0,
        });
      clearTimeout(silence);
      silence = wait();
    });
    socket.on("close", () => {
      clearTimeout(silence);
      resolve(replies);
    });
  });
}

function header(length: number, type: number, requestId: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32LE(length >>> 0, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt32LE(requestId, 8);
  return bytes;
}

const ERROR = MESSAGE.ERROR;
const HELLO = { type: MESSAGE.HELLO, requestId: 0, errno: 0 };

test("frames that make no sense", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", "exec sleep 1000");
  const path = join(directory, "shims/a/sock");
  const hello = helloFrame();
  const cases: [string, Uint8Array[], unknown[]][] = [
    ["no hello", [encodeFrame(MESSAGE.STATUS, 5)], [{ type: ERROR, requestId: 5, errno: 71 }]],
    ["hello without version", [encodeFrame(MESSAGE.HELLO, 6)], [{ type: ERROR, requestId: 6, errno: 93 }]],
    ["a later version", [encodeFrame(MESSAGE.HELLO, 0, { VERSION: 99 })], [HELLO]],
    ["unknown type", [hello, encodeFrame(999, 7)], [HELLO, { type: ERROR, requestId: 7, errno: 38 }]],
    [
      "reply as request",
      [hello, encodeFrame(MESSAGE.OK, 8)],
      [HELLO, { type: ERROR, requestId: 8, errno: 38 }],
    ],
    [
      "too long",
      [hello, header(LIMIT.FRAME + 1, MESSAGE.STATUS, 9)],
      [HELLO, { type: ERROR, requestId: 9, errno: 90 }],
    ],
    [
      "longest",
      [hello, header(0xffffffff, MESSAGE.EXEC, 10)],
      [HELLO, { type: ERROR, requestId: 10, errno: 90 }],
    ],
    [
      "cut field",
      [hello, header(4, MESSAGE.STATUS, 11), Buffer.alloc(4)],
      [HELLO, { type: ERROR, requestId: 11, errno: 74 }],
    ],
    [
      "field beyond the frame",
      [hello, header(8, MESSAGE.KILL, 12), Buffer.from("0c00000004000000", "hex")],
      [HELLO, { type: ERROR, requestId: 12, errno: 74 }],
    ],
    [
      "launch again",
      [hello, encodeFrame(MESSAGE.LAUNCH, 13, { PLAN: "x" })],
      [HELLO, { type: ERROR, requestId: 13, errno: 114 }],
    ],
    [
      "signal 65",
      [hello, encodeFrame(MESSAGE.KILL, 14, { SIGNAL: 65 })],
      [HELLO, { type: ERROR, requestId: 14, errno: 22 }],
    ],
    [
      "signal -1",
      [hello, encodeFrame(MESSAGE.KILL, 15, { SIGNAL: -1 })],
      [HELLO, { type: ERROR, requestId: 15, errno: 22 }],
    ],
    ["no signal", [hello, encodeFrame(MESSAGE.KILL, 16)], [HELLO, { type: ERROR, requestId: 16, errno: 22 }]],
    [
      "wide signal",
      [hello, encodeFrame(MESSAGE.KILL, 17, { SIGNAL: 9n })],
      [HELLO, { type: ERROR, requestId: 17, errno: 22 }],
    ],
    [
      "foreign pid",
      [hello, encodeFrame(MESSAGE.KILL, 18, { SIGNAL: 9, PID: 1 })],
      [HELLO, { type: ERROR, requestId: 18, errno: 3 }],
    ],
    ["no plan", [hello, encodeFrame(MESSAGE.EXEC, 19)], [HELLO, { type: ERROR, requestId: 19, errno: 22 }]],
    [
      "input without a stream",
      [hello, encodeData(MESSAGE.STDIN, 20, Buffer.alloc(20, 255))],
      [HELLO, { type: ERROR, requestId: 20, errno: 74 }],
    ],
    ["half a header", [hello, Buffer.alloc(5)], [HELLO]],
    ["half a frame", [hello, header(100, MESSAGE.STATUS, 21), Buffer.alloc(50)], [HELLO]],
    ["half a plan", [hello, header(LIMIT.PLAN_FRAME, MESSAGE.EXEC, 22), Buffer.alloc(100_000)], [HELLO]],
  ];
  for (const [name, pieces, expected] of cases)
    assert.deepEqual(await converse(path, expected.length, ...pieces), expected, name);
  assert.ok(!ended(shim.initPid) && !ended(shim.shimPid));
  assert.equal((await runExec(shim, shell("exit 3"))).exitCode, 3);
});

test("random bytes after a hello, and mutated frames", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", "exec sleep 1000");
  const path = join(directory, "shims/a/sock");
  let state = 42;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const types = [
    MESSAGE.STATUS,
    MESSAGE.EXEC,
    MESSAGE.ATTACH,
    MESSAGE.RESIZE,
    MESSAGE.REOPEN_LOG,
    MESSAGE.STDIN,
  ];
  const one = async (): Promise<void> => {
    const pieces = [helloFrame()];
    for (let i = random(6); i >= 0; i--) {
      const type = types[random(types.length)] ?? 0;
      const frame = encodeFrame(type, i, {
        PLAN: stubPlan(["/no/such/program"]),
        WIDTH: 5,
        HEIGHT: random(70000),
        OPTIONS: random(64),
      });
      for (let flips = random(4); flips > 0; flips--) frame[12 + random(frame.length - 12)] = random(256);
      pieces.push(
        random(5) === 0 ? Buffer.from(Array.from({ length: random(300) }, () => random(256))) : frame,
      );
    }
    await converse(path, 0, ...pieces);
  };
  for (let round = 0; round < 15; round++) await Promise.all(Array.from({ length: 20 }, one));
  assert.ok(!ended(shim.shimPid));
  assert.equal((await runExec(shim, shell("exit 3"))).exitCode, 3);
});
