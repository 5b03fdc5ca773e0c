import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "smol-toml";
import { locateTomlKeys, type KeyPath } from "./toml-lines.ts";

const DOCUMENT = String.raw`# a comment = 1
root = "/a # not a comment"

[log]
level = 'info' # yes
"quoted key" = """
[not.a.table]
x = \"\"\" 1"""
format = "auto"

[images]
pinned = [ # first
  "a]",
  'b',
]
retry.count = 3
retry . "max\u0020wait" = 4
mirror = { host = "h", port = { tls = 443, plain = 80 } }

[[rule]]
name = "one"
[rule.match]
path = "/1"
[[rule]]
name = "two"
[rule.match]
path = "/2"
[[rule.step]]
run = '''
'a''''
[[rule.step]]
run = 1979-05-27T07:32:00Z
[runtimes.kata]
path = "/usr/bin/kata"
`;

const EXPECTED: [KeyPath, number][] = [
  [["root"], 2],
  [["log"], 4],
  [["log", "level"], 5],
  [["log", "quoted key"], 6],
  [["log", "format"], 9],
  [["images", "pinned"], 12],
  [["images", "pinned", 0], 13],
  [["images", "pinned", 1], 14],
  [["images", "retry", "count"], 16],
  [["images", "retry", "max wait"], 17],
  [["images", "mirror", "port", "plain"], 18],
  [["rule"], 20],
  [["rule", 0, "name"], 21],
  [["rule", 0, "match", "path"], 23],
  [["rule", 1, "name"], 25],
  [["rule", 1, "match", "path"], 27],
  [["rule", 1, "step", 0, "run"], 29],
  [["rule", 1, "step", 1, "run"], 32],
  [["runtimes", "kata"], 33],
  [["runtimes", "kata", "path"], 34],
];

test("every way to set a key is found on its line", () => {
  const { lineOf } = locateTomlKeys(DOCUMENT);
  for (const [path, line] of EXPECTED) assert.equal(lineOf(path), line, path.join("."));
});

test("a key that is not set has the line of the nearest table around it", () => {
  const { lineOf } = locateTomlKeys(DOCUMENT);
  assert.equal(lineOf(["log", "missing", "deep"]), 4);
  assert.equal(lineOf(["missing"]), 1);
});

test("the scanner and the parser agree on which keys there are", () => {
  const { lineOf } = locateTomlKeys(DOCUMENT);
  const visit = (value: unknown, path: KeyPath): void => {
    if (path.length > 0) assert.notEqual(lineOf(path), 1, `no line for ${path.join(".")}`);
    if (typeof value !== "object" || value === null || value instanceof Date) return;
    const isArray = Array.isArray(value);
    for (const [key, inner] of Object.entries(value)) visit(inner, [...path, isArray ? Number(key) : key]);
  };
  visit(parse(DOCUMENT), []);
});

test("a document that ends early does not hang the scanner", () => {
  for (const text of ["a = [1,", 'a = "', "a = {b = 1", "[a", "a", ""]) locateTomlKeys(text);
});
