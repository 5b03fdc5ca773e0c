/**
 * A small assembler for classic BPF, as seccomp takes it (struct sock_filter, include/uapi/linux/filter.h).
 *
 * A program is built from its end to its start: jumps go forward only, so what they lead to exists already. A label
 * is the index of an instruction in the reversed program. What a jump of 8 bits cannot reach is reached through a
 * second jump, or, where it is a verdict, by a copy of it.
 */

/** BPF_LD|BPF_W|BPF_ABS, BPF_JMP|…|BPF_K, BPF_ALU|BPF_AND|BPF_K, BPF_RET|BPF_K. */
export const LOAD = 0x20;
export const JUMP = 0x05;
export const JUMP_EQUAL = 0x15;
export const JUMP_GREATER = 0x25;
export const JUMP_GREATER_EQUAL = 0x35;
export const AND = 0x54;
export const RETURN = 0x06;

/** Offsets in struct seccomp_data, little endian. */
export const OFFSET_NUMBER = 0;
export const OFFSET_ARCHITECTURE = 4;
export const offsetArgumentLow = (index: number): number => 16 + index * 8;
export const offsetArgumentHigh = (index: number): number => 20 + index * 8;

export type Label = number;

interface Instruction {
  code: number;
  jumpTrue: number;
  jumpFalse: number;
  constant: number;
}

const FARTHEST = 255;

export class Assembler {
  readonly #reversed: Instruction[] = [];
  readonly #verdicts = new Map<number, Label>();

  /** A verdict (SECCOMP_RET_*), one that stands near where there is one. */
  verdict(value: number): Label {
    const known = this.#verdicts.get(value);
    if (known !== undefined && this.#reversed.length - known < FARTHEST / 2) return known;
    const label = this.#push(RETURN, 0, 0, value);
    this.#verdicts.set(value, label);
    return label;
  }

  /** Loads a word of seccomp_data, then goes on at `next`. */
  load(offset: number, next: Label): Label {
    this.#follow(next);
    return this.#push(LOAD, 0, 0, offset);
  }

  /** Masks what was loaded, then goes on at `next`. */
  and(mask: number, next: Label): Label {
    this.#follow(next);
    return this.#push(AND, 0, 0, mask);
  }

  /** Compares what was loaded with the constant. Both ways may lead anywhere. */
  jump(code: number, constant: number, whenTrue: Label, whenFalse: Label): Label {
    // Two further instructions at most come between here and the jump.
    const near = (label: Label): boolean => this.#reversed.length - label - 1 <= FARTHEST - 2;
    const nearTrue = near(whenTrue) ? whenTrue : this.#reach(whenTrue);
    const nearFalse =
      whenFalse === whenTrue ? nearTrue : near(whenFalse) ? whenFalse : this.#reach(whenFalse);
    const at = this.#reversed.length;
    return this.#push(code, at - nearTrue - 1, at - nearFalse - 1, constant);
  }

  get length(): number {
    return this.#reversed.length;
  }

  /** The program that starts with the instruction made last. */
  finish(): Uint8Array {
    const bytes = new Uint8Array(this.#reversed.length * 8);
    const view = new DataView(bytes.buffer);
    this.#reversed.toReversed().forEach(({ code, jumpTrue, jumpFalse, constant }, index) => {
      view.setUint16(index * 8, code, true);
      view.setUint8(index * 8 + 2, jumpTrue);
      view.setUint8(index * 8 + 3, jumpFalse);
      view.setUint32(index * 8 + 4, constant, true);
    });
    return bytes;
  }

  /** Makes `next` what follows, by a jump where it is not so already. */
  #follow(next: Label): void {
    if (next !== this.#reversed.length - 1) this.#reach(next);
  }

  #reach(label: Label): Label {
    const target = this.#reversed[label] as Instruction;
    if (target.code === RETURN) return this.#push(RETURN, 0, 0, target.constant);
    return this.#push(JUMP, 0, 0, this.#reversed.length - label - 1);
  }

  #push(code: number, jumpTrue: number, jumpFalse: number, constant: number): Label {
    this.#reversed.push({ code, jumpTrue, jumpFalse, constant: constant >>> 0 });
    return this.#reversed.length - 1;
  }
}
