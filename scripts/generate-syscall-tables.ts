/**
 * Writes src/oci/seccomp-tables-generated.ts: the system call numbers of each architecture, from the kernel headers
 * installed here (asm/unistd_{64,32,x32}.h, asm-generic/unistd.h for aarch64). The numbers of 32-bit arm, which no
 * header here has, come from libseccomp. Calls newer than the headers are added from the list below: since 403 a new
 * call has the same number everywhere.
 *
 * Run by hand when a kernel brings new calls: node scripts/generate-syscall-tables.ts
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const NEWER: Record<string, number> = {
  cachestat: 451,
  fchmodat2: 452,
  map_shadow_stack: 453,
  futex_wake: 454,
  futex_wait: 455,
  futex_requeue: 456,
  statmount: 457,
  listmount: 458,
  lsm_get_self_attr: 459,
  lsm_set_self_attr: 460,
  lsm_list_modules: 461,
  mseal: 462,
  setxattrat: 463,
  getxattrat: 464,
  listxattrat: 465,
  removexattrat: 466,
  open_tree_attr: 467,
  file_getattr: 468,
  file_setattr: 469,
};
const X32_BIT = 0x40000000;
const FIRST_COMMON = 403;

type Table = Map<string, number>;

/** What the preprocessor makes of each __NR_ macro of a header. */
function headerTable(header: string, defines: string[] = []): Table {
  const flags = [
    "-E",
    "-dM",
    "-x",
    "c",
    "-include",
    header,
    "/dev/null",
    ...defines.map((name) => `-D${name}`),
  ];
  const macros = execFileSync("cc", flags, { encoding: "utf8" });
  const names = [...macros.matchAll(/^#define __NR_(\w+) /gm)].map((match) => String(match[1]));
  const program = names.map((name) => `@${name} __NR_${name}`).join("\n");
  const expanded = execFileSync(
    "cc",
    ["-E", "-P", "-x", "c", "-include", header, ...defines.map((name) => `-D${name}`), "-"],
    {
      encoding: "utf8",
      input: program,
    },
  );
  const table: Table = new Map();
  for (const [, name, text] of expanded.matchAll(/^@(\w+) (.+)$/gm)) {
    const digits = String(text).match(/\b(?:0x[0-9a-fA-F]+|\d+)\b/g) ?? [];
    const number = digits.reduce((sum, part) => sum + Number(part), 0);
    if (name && name !== "syscalls" && !name.startsWith("arch_specific") && !name.startsWith("3264_"))
      table.set(name, number);
  }
  return table;
}

/** Numbers of a 32-bit arm kernel, by name. */
function armTable(names: readonly string[]): Table {
  const directory = mkdtempSync(join(tmpdir(), "gantry-syscalls-"));
  try {
    const source = join(directory, "resolve.c");
    const calls = names.map((name) => `  print("${name}");`).join("\n");
    writeFileSync(
      source,
      `#include <seccomp.h>\n#include <stdio.h>\nstatic void print(const char *name) {\n` +
        `  int nr = seccomp_syscall_resolve_name_arch(SCMP_ARCH_ARM, name);\n` +
        `  if (nr >= 0) printf("%s %d\\n", name, nr);\n}\nint main(void) {\n${calls}\n}\n`,
    );
    execFileSync("cc", ["-o", join(directory, "resolve"), source, "-lseccomp"]);
    const lines = execFileSync(join(directory, "resolve"), { encoding: "utf8" }).trim().split("\n");
    return new Map(lines.map((line) => [String(line.split(" ")[0]), Number(line.split(" ")[1])]));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const x86_64 = headerTable("asm/unistd_64.h");
const x86 = headerTable("asm/unistd_32.h");
const x32 = new Map([...headerTable("asm/unistd_x32.h")].map(([name, number]) => [name, number & ~X32_BIT]));
// Which of the generic calls an arm64 kernel has: arch/arm64/include/uapi/asm/unistd.h.
const aarch64 = headerTable("asm-generic/unistd.h", [
  "__BITS_PER_LONG=64",
  "__ARCH_WANT_RENAMEAT",
  "__ARCH_WANT_NEW_STAT",
  "__ARCH_WANT_SET_GET_RLIMIT",
  "__ARCH_WANT_TIME32_SYSCALLS",
  "__ARCH_WANT_SYS_CLONE3",
  "__ARCH_WANT_MEMFD_SECRET",
]);
for (const name of ["clock_gettime64", "sync_file_range2"]) aarch64.delete(name);
const armNames = [
  "arm_fadvise64_64",
  "sync_file_range2",
  "breakpoint",
  "cacheflush",
  "usr26",
  "usr32",
  "set_tls",
];
const arm = armTable([...new Set([...x86_64.keys(), ...x86.keys(), ...aarch64.keys(), ...armNames])]);
for (const [name, number] of x86) if (number >= FIRST_COMMON) arm.set(name, number);

x86_64.set("uretprobe", 335);
const tables: Record<string, Table> = { x86_64, x86, x32, aarch64, arm };
for (const table of Object.values(tables))
  for (const [name, number] of Object.entries(NEWER)) table.set(name, number);

function wrap(table: Table): string {
  const lines: string[] = [];
  let line = "";
  for (const [name, number] of [...table].sort((a, b) => a[1] - b[1] || a[0].localeCompare(b[0]))) {
    const word = `${name}=${number}`;
    if (line.length + word.length > 105) {
      lines.push(line);
      line = "";
    }
    line += line ? ` ${word}` : word;
  }
  return [...lines, line].join("\n");
}

const target = join(import.meta.dirname, "../src/oci/seccomp-tables-generated.ts");
const body = Object.entries(tables)
  .map(([name, table]) => `  ${name}: \`\n${wrap(table)}\n\`,`)
  .join("\n");
writeFileSync(
  target,
  `/** Written by scripts/generate-syscall-tables.ts. System call numbers, "name=number"; those of x32 without its bit. */\n` +
    `export const SYSCALL_TABLES = {\n${body}\n} as const;\n`,
);
console.log(
  Object.entries(tables)
    .map(([name, table]) => `${name}: ${table.size}`)
    .join(", "),
  readFileSync(target).length,
  "bytes",
);
