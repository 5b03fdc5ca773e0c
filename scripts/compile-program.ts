/**
 * Writes the code that V8 makes of the bundled gantry-oci, all of its functions:
 * `node --hash-seed=1 scripts/compile-program.ts DIRECTORY`.
 *
 * The hash seed is the one that bin/gantry-oci gives Node: V8 takes only code of the same, and with a seed of chance
 * the same sources would not give the same bytes.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { Script } from "node:vm";
import { CACHE_FILE, programScript } from "../src/oci/command/program-script.ts";

const [directory = ""] = process.argv.slice(2);
const { path, source } = programScript(directory);
setFlagsFromString("--no-lazy");
const script = new Script(source, { filename: path });
// The code is for a V8 with the flags of now.
setFlagsFromString("--lazy");
writeFileSync(join(directory, CACHE_FILE), script.createCachedData());
