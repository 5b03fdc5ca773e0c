/**
 * The vocabulary of seccomp profiles (config-linux.md, "Seccomp"): actions as the kernel's return values, argument
 * comparisons, filter flags. Checked here, so that the compiler works on numbers only.
 */
import { GantryError } from "../base/errors.ts";
import type { SeccompRule } from "./runtime-spec.ts";

export const RET_KILL_PROCESS = 0x80000000;
export const RET_ERRNO = 0x00050000;
export const RET_ALLOW = 0x7fff0000;
const EPERM = 1;
export const ENOSYS = 38;
const MAX_ERRNO = 4095;

const PLAIN_ACTIONS: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL_PROCESS: RET_KILL_PROCESS,
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: RET_ALLOW,
};

/** SECCOMP_FILTER_FLAG_*. */
const TSYNC = 1;
const WAIT_KILLABLE_RECV = 32;
const FLAGS: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: TSYNC,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: WAIT_KILLABLE_RECV,
};

/** What a profile may name. */
export const SECCOMP_ACTIONS: readonly string[] = [
  ...Object.keys(PLAIN_ACTIONS),
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
];
export const SECCOMP_FLAGS: readonly string[] = Object.keys(FLAGS);

/**
 * The value that a filter returns for an action. errnoRet (EPERM unless given) is the errno of ERRNO and the
 * message of TRACE.
 * @throws GantryError invalid-argument.
 */
export function seccompVerdict(action: string, errnoRet: number | undefined): number {
  const plain = PLAIN_ACTIONS[action];
  if (plain !== undefined) {
    if (errnoRet === undefined) return plain;
    throw new GantryError("invalid-argument", `seccomp: ${action} takes no errnoRet`);
  }
  const data = errnoRet ?? EPERM;
  if (action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE") {
    const limit = action === "SCMP_ACT_ERRNO" ? MAX_ERRNO : 0xffff;
    if (!Number.isInteger(data) || data < 0 || data > limit) {
      throw new GantryError("invalid-argument", `seccomp: errnoRet ${data} is not between 0 and ${limit}`);
    }
    return (action === "SCMP_ACT_ERRNO" ? RET_ERRNO : 0x7ff00000) | data;
  }
  throw new GantryError("invalid-argument", `seccomp: unknown action ${JSON.stringify(action)}`);
}

/**
 * Without TSYNC where there is a listener, as the kernel has one or the other, and a process about to execute its command
 * has no other thread to keep in step; without WAIT_KILLABLE_RECV where there is none, as it is about that.
 * @throws GantryError invalid-argument for an unknown flag.
 */
export function seccompFlags(flags: readonly string[], listens: boolean): number {
  let bits = 0;
  for (const flag of flags) {
    const bit = FLAGS[flag];
    if (bit === undefined)
      throw new GantryError("invalid-argument", `seccomp: unknown flag ${JSON.stringify(flag)}`);
    bits |= bit;
  }
  return bits & ~(listens ? TSYNC : WAIT_KILLABLE_RECV);
}

const OPERATORS = {
  SCMP_CMP_NE: "ne",
  SCMP_CMP_LT: "lt",
  SCMP_CMP_LE: "le",
  SCMP_CMP_EQ: "eq",
  SCMP_CMP_GE: "ge",
  SCMP_CMP_GT: "gt",
  SCMP_CMP_MASKED_EQ: "masked",
} as const;

export const SECCOMP_OPERATORS: readonly string[] = Object.keys(OPERATORS);

export interface Condition {
  index: number;
  operator: (typeof OPERATORS)[keyof typeof OPERATORS];
  value: bigint;
  /** With "masked": (argument & mask) equals value. */
  mask: bigint;
}

/** All conditions hold → the verdict. None: always. */
export interface CompiledRule {
  conditions: Condition[];
  verdict: number;
}

/**
 * A rule as one or more alternatives: conditions on different arguments must all hold, but where one argument has
 * several they are alternatives, which is how profiles have always been understood.
 * @throws GantryError invalid-argument.
 */
export function compileRule(rule: SeccompRule): CompiledRule[] {
  const verdict = seccompVerdict(rule.action, rule.errnoRet);
  const conditions = (rule.args ?? []).map((argument): Condition => {
    const operator = OPERATORS[argument.op as keyof typeof OPERATORS];
    if (operator === undefined)
      throw new GantryError("invalid-argument", `seccomp: unknown operator ${JSON.stringify(argument.op)}`);
    if (!Number.isInteger(argument.index) || argument.index < 0 || argument.index > 5) {
      throw new GantryError("invalid-argument", `seccomp: no argument has the index ${argument.index}`);
    }
    const value = unsigned64(argument.value);
    if (operator !== "masked") return { index: argument.index, operator, value, mask: 0n };
    // What the mask hides of the value is not compared, as libseccomp has it.
    return {
      index: argument.index,
      operator,
      value: unsigned64(argument.valueTwo ?? 0) & value,
      mask: value,
    };
  });
  const distinct = new Set(conditions.map(({ index }) => index)).size === conditions.length;
  if (distinct) return [{ conditions, verdict }];
  return conditions.map((condition) => ({ conditions: [condition], verdict }));
}

function unsigned64(value: number | bigint): bigint {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new GantryError("invalid-argument", `seccomp: argument value ${value} is not an exact integer`);
  }
  const exact = BigInt(value);
  if (exact < -(1n << 63n) || exact >= 1n << 64n) {
    throw new GantryError("invalid-argument", `seccomp: argument value ${exact} does not fit in 64 bits`);
  }
  return BigInt.asUintN(64, exact);
}
