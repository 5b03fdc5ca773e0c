/**
 * Writes the C headers of the binary formats, and the plan's fingerprint also for TypeScript; with --check it only
 * compares, and fails on a difference. A further format is one more line in FILES.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { filesFormatHeader } from "../src/native/files-format.ts";
import { wireFingerprint } from "../src/base/wire-table.ts";
import { PLAN_TABLE } from "../src/oci/plan.ts";
import { shimProtocolHeader } from "../src/shim/protocol-header.ts";
import { renderNativeHeader } from "./native-header.ts";

const FILES = [
  { file: "native/include/plan_generated.h", text: () => renderNativeHeader(PLAN_TABLE, "src/oci/plan.ts") },
  { file: "native/include/shim_protocol_generated.h", text: shimProtocolHeader },
  { file: "native/include/files_format_generated.h", text: filesFormatHeader },
  { file: "src/oci/plan-fingerprint-generated.ts", text: planFingerprint },
];

function planFingerprint(): string {
  const value = `0x${wireFingerprint(PLAN_TABLE).toString(16)}`;
  return `/** Generated from src/oci/plan.ts by scripts/generate-native-headers.ts; do not edit. */
export const PLAN_FINGERPRINT = ${value};
`;
}

const project = join(import.meta.dirname, "..");
let stale = false;
for (const { file, text } of FILES) {
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
