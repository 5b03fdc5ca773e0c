import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonFault } from "./json-fault.ts";

test("the place and the reason", () => {
  const cases: [string, string][] = [
    ["", "line 1 column 1: expected a value, found the end"],
    ["{", `line 1 column 2: expected a member's name or "}", found the end`],
    ["{}x", `line 1 column 3: expected the end, found "x"`],
    ['{"a": tru}', 'line 1 column 7, at a: expected a value, found "t"'],
    ['{\n "a": {"b": [1, 2,]}}', 'line 2 column 19, at a.b.2: expected a value, found "]"'],
    ['{"a": 1 "b": 2}', `line 1 column 9, at a: expected "," or "}", found "\\""`],
    ['{"a": [1 2]}', `line 1 column 10, at a.0: expected "," or "]", found "2"`],
    ['{"a" 1}', `line 1 column 6, at a: expected ":", found "1"`],
    ['{"a": 1,}', `line 1 column 9: expected a member's name, found "}"`],
    ['{"a": 01}', `line 1 column 8, at a: expected "," or "}", found "1"`],
    ["{'a': 1}", `line 1 column 2: expected a member's name or "}", found "'"`],
    ['{"a": "x', "line 1 column 9, at a: the string has no end"],
    ['["x\ny"]', 'line 1 column 4, at 0: expected a character of a string, found "\\n"'],
    ['["\\x"]', 'line 1 column 3, at 0: expected a character of a string, found "\\\\"'],
    ["[NaN]", 'line 1 column 2, at 0: expected a value, found "N"'],
    ["[1.]", 'line 1 column 3, at 0: expected "," or "]", found "."'],
    ['{"a": 1} // comment', 'line 1 column 10: expected the end, found "/"'],
  ];
  for (const [text, fault] of cases) {
    assert.throws(() => JSON.parse(text), text);
    assert.equal(jsonFault(text), fault, text);
  }
});

test("it fails where the engine fails, whatever single character is cut out or put in", () => {
  const good = `{"a": [1, -2.5e3, "x\\n\\u00e9", null, {"b": {}, "c": []}], "d": true}`;
  for (let at = 0; at < good.length; at++) {
    for (const put of ["", "x", '"', ",", "}", "[", "\\", "0"]) {
      const text = good.slice(0, at) + put + good.slice(at + 1);
      let valid = true;
      try {
        JSON.parse(text);
      } catch {
        valid = false;
      }
      assert.equal(jsonFault(text).endsWith(": malformed"), valid, text);
    }
  }
});

test("depth is no trouble", () => {
  assert.match(jsonFault("[".repeat(100_000)), /^line 1 column 100001/);
});

test("nor is length", () => {
  const long = "x".repeat(10_000_000);
  assert.match(jsonFault(`{"${long}": "${long}",}`), /found "}"$/);
  assert.match(jsonFault(`["${long}`), /the string has no end$/);
});
