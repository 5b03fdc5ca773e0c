/**
 * The part of a seccomp program that finds a system call's number: intervals of one decision, and a binary search
 * over them.
 */
import { is32Bit, X32_SYSCALL_BIT, type SeccompArchitecture } from "./seccomp-architecture.ts";
import { JUMP_GREATER_EQUAL, type Assembler, type Label } from "./seccomp-assembler.ts";
import { testArgument } from "./seccomp-condition.ts";
import { ENOSYS, RET_ERRNO, type CompiledRule } from "./seccomp-rules.ts";

/** Calls of arm's own (cacheflush, set_tls) begin far above the others, and say nothing about which is newest. */
const FIRST_PRIVATE = 0x0f0000;

interface Interval {
  from: number;
  key: string;
  label: () => Label;
}

/** A binary search for the number, which has been loaded. */
export function numberSearch(
  assembler: Assembler,
  architecture: SeccompArchitecture,
  byNumber: ReadonlyMap<number, CompiledRule[]>,
  defaultVerdict: number,
  newerAreMissing: boolean,
): Label {
  const bit = architecture === "x32" ? X32_SYSCALL_BIT : 0;
  const plain = (from: number, verdict: number): Interval => ({
    from,
    key: String(verdict),
    label: () => assembler.verdict(verdict),
  });
  const intervals: Interval[] = [plain(bit, defaultVerdict)];
  const append = (interval: Interval): void => {
    const last = intervals.at(-1) as Interval;
    if (last.from === interval.from) intervals.pop();
    if (intervals.at(-1)?.key !== interval.key) intervals.push(interval);
  };
  const numbers = [...byNumber.keys()].sort((a, b) => a - b);
  const newest = numbers.findLast((number) => number < bit + FIRST_PRIVATE);
  numbers.forEach((number, index) => {
    append(
      decision(
        assembler,
        number,
        byNumber.get(number) as CompiledRule[],
        defaultVerdict,
        is32Bit(architecture),
      ),
    );
    const missing = newerAreMissing && number === newest;
    if (numbers[index + 1] !== number + 1)
      append(plain(number + 1, missing ? RET_ERRNO | ENOSYS : defaultVerdict));
  });
  const search = (low: number, high: number): Label => {
    if (high - low === 1) return (intervals[low] as Interval).label();
    const middle = (low + high) >>> 1;
    const right = search(middle, high);
    const left = search(low, middle);
    return assembler.jump(JUMP_GREATER_EQUAL, (intervals[middle] as Interval).from, right, left);
  };
  return search(0, intervals.length);
}

function decision(
  assembler: Assembler,
  from: number,
  rules: readonly CompiledRule[],
  defaultVerdict: number,
  narrow: boolean,
): Interval {
  const whole = rules.find(({ conditions }) => conditions.length === 0);
  if (whole) return { from, key: String(whole.verdict), label: () => assembler.verdict(whole.verdict) };
  const key = rules
    .map(
      ({ conditions, verdict }) =>
        `${conditions.map((c) => `${c.index}${c.operator}${c.value}/${c.mask}`).join("&")}=${verdict}`,
    )
    .join(";");
  const label = (): Label => {
    let next = assembler.verdict(defaultVerdict);
    for (const { conditions, verdict } of rules.toReversed()) {
      const otherwise = next;
      let holds = assembler.verdict(verdict);
      for (const condition of conditions.toReversed())
        holds = testArgument(assembler, condition, narrow, holds, otherwise);
      next = holds;
    }
    return next;
  };
  return { from, key, label };
}
