/** One argument comparison of a rule as BPF instructions: 64 bits in two words of 32. */
import {
  JUMP_EQUAL,
  JUMP_GREATER,
  JUMP_GREATER_EQUAL,
  offsetArgumentHigh,
  offsetArgumentLow,
} from "./seccomp-assembler.ts";
import type { Assembler, Label } from "./seccomp-assembler.ts";
import type { Condition } from "./seccomp-rules.ts";

/** Tests one argument. A 32-bit architecture has its low half only. */
export function testArgument(
  assembler: Assembler,
  condition: Condition,
  narrow: boolean,
  holds: Label,
  fails: Label,
): Label {
  const { index, operator, value, mask } = condition;
  const low = Number(value & 0xffffffffn);
  const high = Number(value >> 32n);
  const lowTest = (code: number, yes: Label, no: Label, masked = false): Label => {
    const compare = assembler.jump(code, low, yes, no);
    const and = masked ? assembler.and(Number(mask & 0xffffffffn), compare) : compare;
    return assembler.load(offsetArgumentLow(index), and);
  };
  switch (operator) {
    case "eq":
    case "ne": {
      const [equal, differs] = operator === "eq" ? [holds, fails] : [fails, holds];
      const lower = lowTest(JUMP_EQUAL, equal, differs);
      if (narrow) return lower;
      return assembler.load(offsetArgumentHigh(index), assembler.jump(JUMP_EQUAL, high, lower, differs));
    }
    case "gt":
    case "ge":
    case "lt":
    case "le": {
      const strict = operator === "gt" || operator === "le";
      const [above, below] = operator === "gt" || operator === "ge" ? [holds, fails] : [fails, holds];
      const lower = lowTest(strict ? JUMP_GREATER : JUMP_GREATER_EQUAL, above, below);
      if (narrow) return lower;
      const equal = assembler.jump(JUMP_EQUAL, high, lower, below);
      return assembler.load(offsetArgumentHigh(index), assembler.jump(JUMP_GREATER, high, above, equal));
    }
    case "masked": {
      const lower = lowTest(JUMP_EQUAL, holds, fails, true);
      const highMask = Number(mask >> 32n);
      if (narrow || (highMask === 0 && high === 0)) return lower;
      const compare = assembler.jump(JUMP_EQUAL, high, lower, fails);
      return assembler.load(offsetArgumentHigh(index), assembler.and(highMask, compare));
    }
  }
}
