/**
 * Loads the N-API addon, once. The typed bindings of its parts stand beside this file, one for each part; nothing
 * else calls `addon`.
 *
 * The native files (gantry.node, gantry-shim) are looked for in GANTRY_NATIVE_DIR, then in native/build of the
 * source tree above this file, then beside the bundle in ../lib/gantry.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { GantryError } from "../base/errors.ts";

function findNativeDirectory(): string {
  const given = process.env["GANTRY_NATIVE_DIR"];
  if (given) return given;
  for (let directory = import.meta.dirname; ; directory = dirname(directory)) {
    for (const candidate of [join(directory, "native/build"), join(directory, "lib/gantry")]) {
      if (existsSync(join(candidate, "gantry.node"))) return candidate;
    }
    if (directory === dirname(directory)) break;
  }
  throw new GantryError(
    "failed-precondition",
    `native files not found above ${import.meta.dirname}: run make -C native`,
  );
}

export const nativeDirectory: string = findNativeDirectory();

/** Absolute path of the static gantry-shim program. */
export const shimProgram: string = join(nativeDirectory, "gantry-shim");

const require = createRequire(import.meta.url);

/** The addon's exports; each binding file narrows what it uses. */
export const addon: unknown = require(join(nativeDirectory, "gantry.node"));
