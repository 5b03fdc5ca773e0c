import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeOctalEscapes } from "./octal-escape.ts";

test("escapes of three octal digits are characters, all else is itself", () => {
  assert.equal(decodeOctalEscapes("/a\\040b\\011\\012\\134\\043c"), "/a b\t\n\\#c");
  assert.equal(decodeOctalEscapes("/plain/é\\04\\890\\"), "/plain/é\\04\\890\\");
});
