import assert from "node:assert/strict";
import { test } from "node:test";
import { checkImports, importsOf, tableCycles } from "./check-imports.ts";

function check(files: Record<string, string>): string[] {
  return checkImports(new Map(Object.entries(files)));
}

test("imports of every form are found, and those in comments are not", () => {
  const source = `
    import a from "./a.ts";
    import type { B } from "./b.ts";
    import {
      c,
      d as e,
    } from "./c.ts";
    import "./side-effect.ts";
    export * from "./d.ts";
    export { f } from "./e.ts";
    const g = await import("./f.ts");
    // import "./not-1.ts"
    /* export * from "./not-2.ts"; */
    const text = "a // b"; export const h = 1;
  `;
  assert.deepEqual(
    importsOf(source).map(({ specifier, typeOnly }) => (typeOnly ? `type ${specifier}` : specifier)),
    ["./a.ts", "type ./b.ts", "./c.ts", "./side-effect.ts", "./d.ts", "./e.ts", "./f.ts"],
  );
});

test("an arrow that points back or sideways is refused", () => {
  const problems = check({
    "base/errors.ts": `import { addon } from "../native/addon.ts";`,
    "native/addon.ts": "",
    "oci/plan.ts": `import type { Shim } from "../shim/shim.ts";`,
    "shim/shim.ts": `import { plan } from "../oci/plan.ts";`,
    "engine/engine.ts": `import "../cri/server.ts";`,
    "cri/server.ts": `import { pull } from "../image/pull.ts";`,
    "image/pull.ts": `import "../snapshotter/overlayfs.ts"; import "../snapshotter/snapshotter.ts";`,
    "snapshotter/overlayfs.ts": "",
    "snapshotter/snapshotter.ts": "",
  });
  assert.deepEqual(
    problems.map((problem) => problem.replace(/: [a-z]+ may import.*/, "")),
    [
      "base/errors.ts: imports native/addon.ts",
      "cri/server.ts: imports image/pull.ts",
      "engine/engine.ts: imports cri/server.ts",
      "image/pull.ts: imports snapshotter/overlayfs.ts",
      "oci/plan.ts: imports shim/shim.ts",
      "shim/shim.ts: imports oci/plan.ts",
    ],
  );
});

test("packages stay where the table puts them", () => {
  assert.deepEqual(
    check({
      "engine/a.ts": `import { Server } from "@grpc/grpc-js"; import http from "node:http"; import "left-pad";`,
      "cri/b.ts": `import { Server } from "@grpc/grpc-js"; import { request } from "undici";`,
      "image/c.ts": `import { request } from "undici"; import fs from "node:fs";`,
      "base/d.ts": `import net from "node:net"; import { join } from "node:path";`,
    }),
    [
      "base/d.ts: imports node:net, which base may not",
      "cri/b.ts: imports the package undici: only image may",
      "engine/a.ts: imports node:http, which engine may not",
      "engine/a.ts: imports the package @grpc/grpc-js: only cri may",
      "engine/a.ts: imports the package left-pad, which is not in the table",
    ],
  );
});

test("cycles of files are refused, unless a type alone closes them", () => {
  assert.deepEqual(
    check({
      "engine/a.ts": `import { b } from "./b.ts";`,
      "engine/b.ts": `import { c } from "./c.ts";`,
      "engine/c.ts": `import { type A } from "./a.ts";`,
      "engine/d.ts": `import type { E } from "./e.ts";`,
      "engine/e.ts": `import { d } from "./d.ts";`,
    }),
    ["cycle: engine/a.ts → engine/b.ts → engine/c.ts → engine/a.ts"],
  );
  assert.deepEqual(tableCycles({ a: ["b"], b: ["a/x"] }), ["cycle: a → b → a"]);
});

test("nothing but a test imports a test, or what is outside", () => {
  assert.deepEqual(
    check({
      "engine/a.ts": `import "./a.test.ts"; import "../../test/harness.ts"; import "./missing.ts";`,
      "engine/a.test.ts": `import "../../test/harness.ts"; import http from "node:http";`,
    }),
    [
      "engine/a.ts: imports ../test/harness.ts, which is outside of src",
      "engine/a.ts: imports engine/missing.ts, which does not exist",
      "engine/a.ts: imports the test file engine/a.test.ts",
    ],
  );
});

test("a module that the table does not know is refused, and the table has no cycle", () => {
  assert.match(
    check({ "misc/a.ts": `import "../base/b.ts";`, "base/b.ts": "" })[0] ?? "",
    /"misc" is not in the table/,
  );
  assert.deepEqual(tableCycles(), []);
});
