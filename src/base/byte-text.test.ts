import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOfText, textOfBytes } from "./byte-text.ts";

test("UTF-8 is itself, and any other bytes come back as they were, through JSON too", () => {
  assert.equal(textOfBytes(Buffer.from("größe 😀\uFEFF")), "größe 😀\uFEFF");
  for (const bytes of [
    [],
    [0xff],
    [0x61, 0x80, 0x62],
    [0xc3],
    [0xe2, 0x82],
    [0xf0, 0x9f, 0x98, 0x80, 0xf0, 0x9f, 0x98],
    // A surrogate written as if it were a character, and an overlong slash.
    [0xed, 0xb2, 0x80, 0xc0, 0xaf],
    [0xf5, 0x80, 0x80, 0x80],
    Array.from({ length: 256 }, (_, index) => index),
    Array.from({ length: 256 }, (_, index) => 255 - index),
  ]) {
    const text = textOfBytes(Uint8Array.from(bytes));
    assert.deepEqual([...bytesOfText(text)], bytes);
    assert.deepEqual([...bytesOfText(JSON.parse(JSON.stringify(text)) as string)], bytes);
  }
});

test("random bytes come back as they were", () => {
  let state = 12345;
  for (let round = 0; round < 2000; round++) {
    const bytes = Array.from({ length: round % 24 }, () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 16) & (round % 2 ? 0xff : 0xbf);
    });
    assert.deepEqual([...bytesOfText(textOfBytes(Uint8Array.from(bytes)))], bytes);
  }
});
