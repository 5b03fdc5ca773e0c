/**
 * The bundled program as a script of V8 (see installed.ts). What compiles it when it is built and what runs it must
 * agree to the letter, or V8 does not take what was compiled.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const PROGRAM_FILE = "gantry-oci-program.cjs";
export const CACHE_FILE = "gantry-oci-program.cache";

/** @returns the path, and an expression that is the function of a CommonJS module. */
export function programScript(directory: string): { path: string; source: string } {
  const path = join(directory, PROGRAM_FILE);
  const text = readFileSync(path, "latin1");
  return { path, source: `(function (exports, require, module, __filename, __dirname) {${text}\n})` };
}
