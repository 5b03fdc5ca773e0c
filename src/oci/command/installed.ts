/**
 * The entry of the bundled gantry-oci: runs the program beside it with the code that V8 made of it when it was built.
 * Half of the time of a short command is reading and compiling; Node's own compile cache would write files where the
 * program is installed.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";
import { CACHE_FILE, programScript } from "./program-script.ts";

const directory = import.meta.dirname;
const { path, source } = programScript(directory);

/** Undefined where there is none: then it is compiled here. One of another V8 is refused by V8. */
function compiledCode(): Buffer | undefined {
  try {
    return readFileSync(join(directory, CACHE_FILE));
  } catch {
    return undefined;
  }
}

const cachedData = compiledCode();
const script = new Script(source, { filename: path, ...(cachedData && { cachedData }) });
const run = script.runInThisContext() as (...names: unknown[]) => void;
const module = { exports: {} };
run(module.exports, createRequire(path), module, path, directory);
