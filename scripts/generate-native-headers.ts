/**
 * Writes the C headers of the binary formats; with --check it only compares, and fails on a difference.
 * A further format is one more line in HEADERS.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { filesFormatHeader } from "../src/native/files-format.ts";
import { PLAN_TABLE } from "../src/oci/plan.ts";
import { shimProtocolHeader } from "../src/shim/protocol-header.ts";
import { renderNativeHeader } from "./native-header.ts";

const HEADERS = [
  { file: "native/include/plan_generated.h", text: () => renderNativeHeader(PLAN_TABLE, "src/oci/plan.ts") },
  { file: "native/include/shim_protocol_generated.h", text: shimProtocolHeader },
  { file: "native/include/files_format_generated.h", text: filesFormatHeader },
];

const project = join(import.meta.dirname, "..");
let stale = false;
for (const { file, text } of HEADERS) {
  const path = join(project, file);
  if (!process.argv.includes("--check")) {
    writeFileSync(path, text());
    continue;
  }
  let found = "";
  try {
    found = readFileSync(path, "utf8");
  } catch {
    // Missing counts as different.
  }
  if (found === text()) continue;
  process.stderr.write(`${file} differs from its table: run scripts/generate-native-headers.ts\n`);
  stale = true;
}
if (stale) process.exitCode = 1;
