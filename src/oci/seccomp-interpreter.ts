/**
 * Runs a seccomp program as the kernel would, for tests and for explaining a profile: the verdict for one system
 * call.
 */
import { GantryError } from "../base/errors.ts";
import {
  AND,
  JUMP,
  JUMP_EQUAL,
  JUMP_GREATER,
  JUMP_GREATER_EQUAL,
  LOAD,
  RETURN,
} from "./seccomp-assembler.ts";

export interface SyscallData {
  number: number;
  /** AUDIT_ARCH_*. */
  architecture: number;
  args: readonly bigint[];
}

/** @throws GantryError internal for a program that the kernel would not take. */
export function interpretSeccomp(program: Uint8Array, data: SyscallData): { verdict: number; steps: number } {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const input = new DataView(new ArrayBuffer(64));
  input.setUint32(0, data.number >>> 0, true);
  input.setUint32(4, data.architecture >>> 0, true);
  data.args.forEach((value, index) => input.setBigUint64(16 + index * 8, BigInt.asUintN(64, value), true));
  let accumulator = 0;
  let at = 0;
  for (let steps = 1; ; steps++) {
    if (at * 8 >= program.length)
      throw new GantryError("internal", `seccomp program runs off its end at ${at}`);
    const code = view.getUint16(at * 8, true);
    const constant = view.getUint32(at * 8 + 4, true);
    const branch = (taken: boolean): number => at + 1 + view.getUint8(at * 8 + (taken ? 2 : 3));
    switch (code) {
      case LOAD:
        accumulator = input.getUint32(constant, true);
        at += 1;
        break;
      case AND:
        accumulator = (accumulator & constant) >>> 0;
        at += 1;
        break;
      case JUMP:
        at += 1 + constant;
        break;
      case JUMP_EQUAL:
        at = branch(accumulator === constant);
        break;
      case JUMP_GREATER:
        at = branch(accumulator > constant);
        break;
      case JUMP_GREATER_EQUAL:
        at = branch(accumulator >= constant);
        break;
      case RETURN:
        return { verdict: constant, steps };
      default:
        throw new GantryError("internal", `seccomp program has the opcode ${code} at ${at}`);
    }
  }
}
