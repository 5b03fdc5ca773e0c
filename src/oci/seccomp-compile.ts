/**
 * Compiles a seccomp profile to a classic BPF program for seccomp(2).
 *
 * For each architecture the numbers are cut into intervals of one verdict, and found by binary search: a call
 * costs some eight comparisons, and the argument tests of its own if it has any. (Kernels from 5.11 on remember
 * what is allowed whatever its arguments, and run no program for it.)
 *
 * Which rule decides about a call: one without conditions if there is one, else the first in the profile's order
 * whose conditions hold, else the default. A call newer than every call that the profile names gets ENOSYS where
 * the default refuses, so that programs fall back to an older one.
 */
import { GantryError } from "../base/errors.ts";
import type { Seccomp } from "./runtime-spec.ts";
import {
  AUDIT_ARCH,
  FOREIGN_ARCHITECTURES,
  MULTIPLEXERS,
  NATIVE_ARCHITECTURE,
  OCI_ARCHITECTURES,
  SUB_ARCHITECTURES,
  syscallTable,
  X32_SYSCALL_BIT,
  type SeccompArchitecture,
} from "./seccomp-architecture.ts";
import {
  Assembler,
  JUMP_EQUAL,
  JUMP_GREATER_EQUAL,
  OFFSET_ARCHITECTURE,
  OFFSET_NUMBER,
  type Label,
} from "./seccomp-assembler.ts";
import { numberSearch } from "./seccomp-search.ts";
import {
  compileRule,
  RET_ERRNO,
  RET_KILL_PROCESS,
  seccompFlags,
  seccompVerdict,
  type CompiledRule,
  type Condition,
} from "./seccomp-rules.ts";

export interface CompiledSeccomp {
  /** An array of struct sock_filter. */
  program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_*. */
  flags: number;
  /** The profile has SCMP_ACT_NOTIFY: somebody must listen. */
  notifies: boolean;
  /** Names that none of the profile's architectures has; they are ignored. */
  unknownNames: string[];
}

export interface CompileOptions {
  /** Of the machine; NATIVE_ARCHITECTURE unless given. */
  native?: SeccompArchitecture;
  /** ENOSYS for calls newer than the profile; true unless given. */
  newerAreMissing?: boolean;
}

/** BPF_MAXINSNS. */
const MAX_INSTRUCTIONS = 4096;
const CACHE_LIMIT = 64;
const byObject = new WeakMap<Seccomp, CompiledSeccomp>();
const byContent = new Map<string, CompiledSeccomp>();

/**
 * The program of a profile, compiled once for each content. The profile must not be changed afterwards.
 * @throws GantryError invalid-argument for unknown actions, operators, flags, architectures, a notification without a
 *   listener, and a program that is too long.
 */
export function compileSeccomp(seccomp: Seccomp, options: CompileOptions = {}): CompiledSeccomp {
  if (options.native !== undefined || options.newerAreMissing !== undefined) return compile(seccomp, options);
  let compiled = byObject.get(seccomp);
  if (compiled) return compiled;
  const key = JSON.stringify(seccomp, (_, value: unknown) =>
    typeof value === "bigint" ? `${value}n` : value,
  );
  compiled = byContent.get(key);
  if (!compiled) {
    compiled = compile(seccomp, options);
    if (byContent.size >= CACHE_LIMIT) byContent.clear();
    byContent.set(key, compiled);
  }
  byObject.set(seccomp, compiled);
  return compiled;
}

function compile(seccomp: Seccomp, options: CompileOptions): CompiledSeccomp {
  const native = options.native ?? NATIVE_ARCHITECTURE;
  const architectures = usedArchitectures(seccomp, native);
  const defaultVerdict = seccompVerdict(seccomp.defaultAction, seccomp.defaultErrnoRet);
  const rules = (seccomp.syscalls ?? []).flatMap((rule) => {
    const compiled = compileRule(rule);
    return rule.names.map((name) => ({ name, rules: compiled }));
  });
  const known = new Set<string>();
  const assembler = new Assembler();
  const refused = assembler.verdict(RET_KILL_PROCESS);
  const search = (architecture: SeccompArchitecture): Label => {
    const numbers = rulesByNumber(architecture, rules, known);
    const newest = (options.newerAreMissing ?? true) && refusesByDefault(defaultVerdict);
    return numberSearch(assembler, architecture, numbers, defaultVerdict, newest);
  };

  // From the end: the sub-architectures, x32 within x86_64, and last the native one's number, which is tested first.
  let otherwise = refused;
  for (const architecture of architectures.filter((name) => name !== native && name !== "x32")) {
    const start = assembler.load(OFFSET_NUMBER, search(architecture));
    otherwise = assembler.jump(JUMP_EQUAL, AUDIT_ARCH[architecture], start, otherwise);
  }
  let first: Label | undefined;
  if (architectures.includes(native)) {
    if (native === "x86_64") {
      const x32 = architectures.includes("x32") ? search("x32") : refused;
      // -1 is the number of a call that a tracer has cancelled, and no x32 call.
      const beyond = assembler.jump(JUMP_EQUAL, 0xffffffff, assembler.verdict(defaultVerdict), x32);
      const own = search(native);
      first = assembler.jump(JUMP_GREATER_EQUAL, X32_SYSCALL_BIT, beyond, own);
    } else {
      first = search(native);
    }
    const start = assembler.load(OFFSET_NUMBER, first);
    otherwise = assembler.jump(JUMP_EQUAL, AUDIT_ARCH[native], start, otherwise);
  }
  assembler.load(OFFSET_ARCHITECTURE, otherwise);
  if (assembler.length > MAX_INSTRUCTIONS) {
    throw new GantryError(
      "invalid-argument",
      `seccomp: the profile needs ${assembler.length} instructions, more than ${MAX_INSTRUCTIONS}`,
    );
  }
  const actions = [seccomp.defaultAction, ...(seccomp.syscalls ?? []).map((rule) => rule.action)];
  const notifies = actions.includes("SCMP_ACT_NOTIFY");
  if (notifies && !seccomp.listenerPath)
    throw new GantryError("invalid-argument", "seccomp: SCMP_ACT_NOTIFY needs a listenerPath");
  return Object.freeze({
    program: assembler.finish(),
    flags: seccompFlags(seccomp.flags ?? [], notifies),
    notifies,
    unknownNames: [...new Set(rules.map(({ name }) => name))].filter((name) => !known.has(name)),
  });
}

/** Those of the list that this machine runs; without a list, its own. */
function usedArchitectures(seccomp: Seccomp, native: SeccompArchitecture): SeccompArchitecture[] {
  const family = [native, ...(SUB_ARCHITECTURES[native] ?? [])];
  const listed = new Set(
    (seccomp.architectures ?? []).map((name) => {
      if (!OCI_ARCHITECTURES.has(name) && !FOREIGN_ARCHITECTURES.has(name))
        throw new GantryError("invalid-argument", `seccomp: unknown architecture ${JSON.stringify(name)}`);
      return OCI_ARCHITECTURES.get(name);
    }),
  );
  return listed.size === 0 ? [native] : family.filter((name) => listed.has(name) || name === native);
}

function refusesByDefault(verdict: number): boolean {
  return (
    verdict >>> 16 === RET_ERRNO >>> 16 ||
    verdict === RET_KILL_PROCESS ||
    verdict === 0 ||
    verdict === 0x00030000
  );
}

function rulesByNumber(
  architecture: SeccompArchitecture,
  rules: readonly { name: string; rules: CompiledRule[] }[],
  known: Set<string>,
): Map<number, CompiledRule[]> {
  const table = syscallTable(architecture);
  const byNumber = new Map<number, CompiledRule[]>();
  const add = (number: number, added: readonly CompiledRule[]): void => {
    if (added.length > 0) byNumber.set(number, [...(byNumber.get(number) ?? []), ...added]);
  };
  for (const { name, rules: compiled } of rules) {
    const number = table.get(name);
    if (number !== undefined) {
      known.add(name);
      add(number, compiled);
    }
    // The same call by an old way in. Arguments are in memory there, where no filter sees them: a rule that has
    // conditions on them says nothing about it.
    for (const { name: multiplexer, mask, operations } of MULTIPLEXERS) {
      const [through, operation] = [table.get(multiplexer), operations.get(name)];
      if (through === undefined || operation === undefined) continue;
      const condition: Condition = { index: 0, operator: "masked", value: BigInt(operation), mask };
      const whole = compiled.filter(({ conditions }) => conditions.length === 0);
      if (whole.length > 0) known.add(name);
      add(
        through,
        whole.map(({ verdict }) => ({ conditions: [condition], verdict })),
      );
    }
  }
  return byNumber;
}
