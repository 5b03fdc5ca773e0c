/** Renders the shim protocol's tables as the C header native/include/shim_protocol_generated.h. */
import {
  FIELD_HEADER_BYTES,
  FIELD_TABLE,
  FRAME_HEADER_BYTES,
  LIMIT_TABLE,
  MESSAGE_TABLE,
  OPTION_TABLE,
  PROTOCOL_VERSION,
  RECORD_TABLE,
  STATE_TABLE,
} from "./protocol.ts";

function constants(prefix: string, table: Record<string, readonly [number, string]>): string[] {
  return Object.entries(table).map(
    ([name, [value, doc]]) => `#define ${prefix}_${name} ${value}u /* ${doc} */`,
  );
}

function record(
  name: string,
  { doc, magic, fields }: (typeof RECORD_TABLE)[keyof typeof RECORD_TABLE],
): string[] {
  let offset = 0;
  const members: string[] = [];
  const checks: string[] = [];
  for (const [field, kind] of fields) {
    members.push(`    ${kind === "u32" ? "uint32_t" : "uint64_t"} ${field};`);
    checks.push(
      `_Static_assert(offsetof(struct shim_${name}_record, ${field}) == ${offset}, "${name}.${field}");`,
    );
    offset += kind === "u32" ? 4 : 8;
  }
  checks.push(`_Static_assert(sizeof(struct shim_${name}_record) == ${offset}, "${name}");`);
  const upper = name.toUpperCase();
  const start = [`/* ${doc} */`, `#define SHIM_${upper}_MAGIC 0x${magic.toString(16)}u`];
  return [...start, `struct shim_${name}_record {`, ...members, "};", ...checks];
}

/** The header's whole text. */
export function shimProtocolHeader(): string {
  return [
    "/* Generated from src/shim/protocol.ts by `npm run generate`; do not edit. */",
    "/* clang-format off */",
    "#ifndef GANTRY_SHIM_PROTOCOL_GENERATED_H",
    "#define GANTRY_SHIM_PROTOCOL_GENERATED_H",
    "",
    "#include <stddef.h>",
    "#include <stdint.h>",
    "",
    `#define SHIM_PROTOCOL_VERSION ${PROTOCOL_VERSION}u`,
    `#define SHIM_FRAME_HEADER_BYTES ${FRAME_HEADER_BYTES}u`,
    `#define SHIM_FIELD_HEADER_BYTES ${FIELD_HEADER_BYTES}u`,
    "",
    ...constants("SHIM_LIMIT", LIMIT_TABLE),
    "",
    ...constants("SHIM_MESSAGE", MESSAGE_TABLE),
    "",
    ...constants("SHIM_FIELD", FIELD_TABLE),
    "",
    ...constants("SHIM_OPTION", OPTION_TABLE),
    "",
    ...constants("SHIM_STATE", STATE_TABLE),
    "",
    ...record("pid", RECORD_TABLE.pid),
    "",
    ...record("exit", RECORD_TABLE.exit),
    "",
    "#endif",
    "",
  ].join("\n");
}
