/** Verdicts of our programs against those that libseccomp generates for the same random profiles. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { arch } from "node:process";
import { after, test } from "node:test";
import type { Seccomp, SeccompRule } from "./runtime-spec.ts";
import { AUDIT_ARCH, syscallTable } from "./seccomp-architecture.ts";
import { compileSeccomp } from "./seccomp-compile.ts";
import { interpretSeccomp } from "./seccomp-interpreter.ts";
import { seccompVerdict } from "./seccomp-rules.ts";

const GENERATOR = `
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* stdin: "default V", "arch NAME", "rule V NAME COUNT (INDEX OP A B)..."; stdout: the program. */
int main(void) {
    char word[64], name[64];
    scmp_filter_ctx ctx = NULL;
    while (scanf("%63s", word) == 1) {
        unsigned verdict, count;
        if (!strcmp(word, "default")) {
            if (scanf("%u", &verdict) != 1 || !(ctx = seccomp_init(verdict))) return 3;
            seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        } else if (!strcmp(word, "arch")) {
            if (scanf("%63s", name) != 1 || seccomp_arch_add(ctx, seccomp_arch_resolve_name(name))) return 4;
        } else {
            struct scmp_arg_cmp args[6];
            if (scanf("%u %63s %u", &verdict, name, &count) != 3) return 5;
            for (unsigned i = 0; i < count; i++) {
                unsigned index, op;
                unsigned long long a, b;
                if (scanf("%u %u %llu %llu", &index, &op, &a, &b) != 4) return 6;
                args[i] = (struct scmp_arg_cmp){index, (enum scmp_compare)op, a, b};
            }
            int nr = seccomp_syscall_resolve_name(name);
            int rc = seccomp_rule_add_array(ctx, verdict, nr, count, args);
            if (rc) { fprintf(stderr, "%s: %d\\n", name, rc); return 7; }
        }
    }
    return seccomp_export_bpf(ctx, 1) ? 8 : 0;
}`;

const directory = mkdtempSync(join(tmpdir(), "gantry-seccomp-"));
after(() => rmSync(directory, { recursive: true }));

function missing(): string | false {
  if (arch !== "x64") return "written for x86_64";
  if (!existsSync("/usr/include/seccomp.h")) return "libseccomp's header is not installed";
  return false;
}

/** A small generator with a seed, so that a failure can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const OPERATORS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
const DEFAULTS = ["SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"];
/** Other than those, as libseccomp refuses a rule that says what the default does. */
const ACTIONS = [
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_KILL_THREAD",
];
const VALUED = ["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"];
const VALUES = [
  0n,
  1n,
  2n,
  40n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 32n,
  (1n << 32n) + 2n,
  (1n << 63n) + 1n,
  (1n << 64n) - 1n,
];

/**
 * Alternatives of one call have one verdict and test one argument for equality: libseccomp does not document which
 * of two verdicts wins, and loses a rule where several different comparisons of one argument meet (version 2.5.4).
 */
function randomProfile(pick: (below: number) => number): Seccomp {
  const sockets = /socket|bind|connect|listen|accept|name|send|recv|shutdown|sockopt|sem|msg|shm/;
  const names = [...syscallTable("x86_64").keys()].filter((name) => {
    return !sockets.test(name) && (syscallTable("x86_64").get(name) ?? 999) < 440 && name !== "uretprobe";
  });
  const defaultAction = DEFAULTS[pick(DEFAULTS.length)] as string;
  const syscalls: SeccompRule[] = [];
  for (const name of names) {
    if (pick(3) === 0) continue;
    const action = ACTIONS[pick(ACTIONS.length)] as string;
    const rule = { names: [name], action, ...(VALUED.includes(action) && { errnoRet: 1 + pick(4) }) };
    if (pick(4) > 0) {
      syscalls.push(rule);
      continue;
    }
    if (pick(3) === 0) {
      const index = pick(6);
      const tests = [3n, 40n, 0xffffffffn]
        .slice(pick(3))
        .map((value) => ({ index, value, op: "SCMP_CMP_EQ" }));
      if (pick(2)) syscalls.push({ ...rule, args: tests });
      else for (const test of tests) syscalls.push({ ...rule, args: [test] });
      continue;
    }
    const indices = [0, 1, 2, 3, 4, 5].filter(() => pick(4) === 0);
    if (indices.length === 0) indices.push(pick(6));
    const args = indices.map((index) => {
      const op = OPERATORS[pick(7)] as string;
      const value = VALUES[pick(VALUES.length)] as bigint;
      const datum = VALUES[pick(VALUES.length)] as bigint;
      return { index, value, valueTwo: op === "MASKED_EQ" ? datum : 0n, op: `SCMP_CMP_${op}` };
    });
    syscalls.push({ ...rule, args });
  }
  return {
    defaultAction,
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_X86"],
    listenerPath: "/agent",
    syscalls,
  };
}

function libseccompProgram(profile: Seccomp): Uint8Array {
  const lines = [`default ${seccompVerdict(profile.defaultAction, undefined)}`, "arch x32", "arch x86"];
  for (const { names, action, errnoRet, args = [] } of profile.syscalls ?? []) {
    const conditions = args.map(({ index, op, value, valueTwo }) => {
      return `${index} ${OPERATORS.indexOf(op.replace("SCMP_CMP_", "")) + 1} ${value} ${valueTwo ?? 0}`;
    });
    // It takes one condition for each argument. Several are alternatives, as runtimes have it.
    const alternatives = new Set(args.map(({ index }) => index)).size < args.length;
    for (const tests of alternatives ? conditions.map((condition) => [condition]) : [conditions])
      lines.push(`rule ${seccompVerdict(action, errnoRet)} ${names[0]} ${tests.length} ${tests.join(" ")}`);
  }
  return execFileSync(join(directory, "generate"), { input: lines.join("\n"), maxBuffer: 1 << 20 });
}

test("libseccomp's programs and ours give the same verdicts", { skip: missing() }, () => {
  writeFileSync(join(directory, "generate.c"), GENERATOR);
  execFileSync("cc", ["-O1", "-o", join(directory, "generate"), join(directory, "generate.c"), "-lseccomp"]);
  let compared = 0;
  for (let seed = 1; seed <= 25; seed++) {
    const pick = random(seed);
    const profile = randomProfile(pick);
    const theirs = libseccompProgram(profile);
    const ours = compileSeccomp(profile, { native: "x86_64", newerAreMissing: false }).program;
    for (const name of ["x86_64", "x86", "x32", "arm"] as const) {
      const numbers = name === "arm" ? [1, 2] : [...new Set(syscallTable(name).values()), 0, 511, 600, 5000];
      for (const number of numbers) {
        for (let round = 0; round < 4; round++) {
          const wide = name === "x86_64" || name === "x32";
          const args = Array.from(
            { length: 6 },
            () => (VALUES[pick(VALUES.length)] as bigint) & (wide ? ~0n : 0xffffffffn),
          );
          const data = { number, architecture: AUDIT_ARCH[name], args };
          const expected = interpretSeccomp(theirs, data).verdict;
          const got = interpretSeccomp(ours, data).verdict;
          if (got !== expected) {
            const call = [...syscallTable(name)].find((entry) => entry[1] === number)?.[0];
            const rules = profile.syscalls?.filter((rule) => rule.names[0] === call);
            const detail = JSON.stringify({ rules, args }, (_, v: unknown) =>
              typeof v === "bigint" ? v.toString(16) : v,
            );
            assert.equal(
              got.toString(16),
              expected.toString(16),
              `seed ${seed} ${name} ${call} (${number}) ${detail}`,
            );
          }
          compared += 1;
        }
      }
    }
  }
  assert.ok(compared > 50_000);
});
