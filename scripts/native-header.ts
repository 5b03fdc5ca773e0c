/** Renders a wire table (src/base/wire-table.ts) as a C header: structs, codes, constants, static assertions. */
import { wireFingerprint, wireLayout, type WireFieldType, type WireTable } from "../src/base/wire-table.ts";

const C_TYPES: Record<WireFieldType, string> = {
  u32: "uint32_t",
  i32: "int32_t",
  u64: "uint64_t",
  i64: "int64_t",
  string: "struct wire_span",
  bytes: "struct wire_span",
  strings: "struct wire_list",
};

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const upper = (name: string): string => snake(name).toUpperCase();

/** The header's whole text. `source` is the table's file, for the notice at the top. */
export function renderNativeHeader(table: WireTable, source: string): string {
  const prefix = upper(table.name);
  const guard = `GANTRY_${prefix}_GENERATED_H`;
  const lines = [
    `/* Generated from ${source} by scripts/generate-native-headers.ts; do not edit. ${table.doc} */`,
    `#ifndef ${guard}`,
    `#define ${guard}`,
    "",
    "/* clang-format off */",
    "#include <stddef.h>",
    "#include <stdint.h>",
    '#include "wire.h"',
    "",
    `#define ${prefix}_FINGERPRINT 0x${wireFingerprint(table).toString(16)}u`,
    "",
  ];
  for (const [group, values] of Object.entries(table.constants)) {
    for (const [name, value] of Object.entries(values)) {
      lines.push(`#define ${prefix}_${upper(group)}_${upper(name)} 0x${value.toString(16)}u`);
    }
  }
  lines.push("", `enum ${snake(table.name)}_code {`);
  for (const [name, record] of Object.entries(table.records)) {
    lines.push(`    ${prefix}_OP_${upper(name)} = ${record.code},`);
  }
  lines.push("};");
  for (const [name, record] of Object.entries(table.records)) {
    const layout = wireLayout(record);
    const struct = `struct ${snake(table.name)}_${snake(name)}`;
    lines.push("", `/* ${record.doc} */`, `${struct} {`, "    struct wire_header header;");
    for (const field of layout.fields) {
      const doc = record.fields[field.name]?.[1];
      lines.push(`    ${C_TYPES[field.type]} ${snake(field.name)};${doc ? ` /* ${doc} */` : ""}`);
    }
    lines.push("} __attribute__((aligned(8)));");
    for (const field of layout.fields) {
      lines.push(`_Static_assert(offsetof(${struct}, ${snake(field.name)}) == ${field.offset}, "${name}");`);
    }
    lines.push(`_Static_assert(sizeof(${struct}) == ${layout.fixedBytes}, "${name}");`);
  }
  lines.push("", "#endif", "");
  return lines.join("\n");
}
