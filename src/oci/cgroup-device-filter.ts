/**
 * Device rules as the eBPF program of a v2 group (BPF_PROG_TYPE_CGROUP_DEVICE): 1 lets an access pass, 0 refuses
 * it. The last rule that matches decides, so rules are tested from the last to the first.
 *
 * The program's input is struct bpf_cgroup_dev_ctx (include/uapi/linux/bpf.h):
 *   u32 access_type   access << 16 | type; access: MKNOD 1, READ 2, WRITE 4; type: BLOCK 1, CHAR 2
 *   u32 major, minor
 */
import { GantryError } from "../base/errors.ts";
import type { DeviceRule } from "./runtime-spec.ts";

const BLOCK = 1;
const CHARACTER = 2;
const ACCESS: Record<string, number> = { m: 1, r: 2, w: 4 };
const ALL_ACCESS = 7;

/** Opcodes (include/uapi/linux/bpf.h): class | operation | source. */
const LOAD_WORD = 0x61;
const MOVE_REGISTER_32 = 0xbc;
const AND_IMMEDIATE_32 = 0x54;
const SHIFT_RIGHT_32 = 0x74;
const JUMP_EQUAL = 0x15;
const JUMP_NOT_EQUAL = 0x55;
const MOVE_IMMEDIATE = 0xb7;
const EXIT = 0x95;
const JUMP_NOT_EQUAL_REGISTER = 0x5d;

interface Instruction {
  opcode: number;
  destination: number;
  source: number;
  offset: number;
  immediate: number;
}

/**
 * An array of struct bpf_insn, in host byte order (little endian). No rules: everything is refused.
 * @throws GantryError invalid-argument for a malformed rule.
 */
export function deviceFilter(rules: readonly DeviceRule[]): Uint8Array {
  const code: Instruction[] = [
    // r2 = type, r3 = access, r4 = major, r5 = minor
    instruction(LOAD_WORD, 2, 1, 0, 0),
    instruction(MOVE_REGISTER_32, 3, 2, 0, 0),
    instruction(AND_IMMEDIATE_32, 2, 0, 0, 0xffff),
    instruction(SHIFT_RIGHT_32, 3, 0, 0, 16),
    instruction(LOAD_WORD, 4, 1, 4, 0),
    instruction(LOAD_WORD, 5, 1, 8, 0),
  ];
  let decided = false;
  for (const rule of [...rules].reverse()) {
    const block = ruleBlock(rule);
    code.push(...block.code);
    decided = block.unconditional;
    if (decided) break;
  }
  if (!decided) code.push(instruction(MOVE_IMMEDIATE, 0, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0));
  return encode(code);
}

function instruction(
  opcode: number,
  destination: number,
  source: number,
  offset: number,
  immediate: number,
): Instruction {
  return { opcode, destination, source, offset, immediate };
}

/** Tests that leave the block where the rule does not match, then its verdict. */
function ruleBlock(rule: DeviceRule): { code: Instruction[]; unconditional: boolean } {
  const tests: Instruction[] = [];
  const type = rule.type ?? "a";
  if (!/^[abcu]$/.test(type))
    throw new GantryError("invalid-argument", `cgroup: device type ${JSON.stringify(type)}`);
  if (type !== "a") tests.push(instruction(JUMP_NOT_EQUAL, 2, 0, 0, type === "b" ? BLOCK : CHARACTER));
  const access = rule.access ?? "rwm";
  if (!/^[rwm]{1,3}$/.test(access))
    throw new GantryError("invalid-argument", `cgroup: device access ${JSON.stringify(access)}`);
  const mask = access.split("").reduce((bits, letter) => bits | (ACCESS[letter] ?? 0), 0);
  if (mask !== ALL_ACCESS) {
    // An allowing rule must cover all that is asked for; a denying one matches when it covers any of it.
    if (rule.allow) {
      tests.push(
        instruction(MOVE_REGISTER_32, 1, 3, 0, 0),
        instruction(AND_IMMEDIATE_32, 1, 0, 0, mask),
        instruction(JUMP_NOT_EQUAL_REGISTER, 1, 3, 0, 0),
      );
    } else {
      tests.push(
        instruction(MOVE_REGISTER_32, 1, 3, 0, 0),
        instruction(AND_IMMEDIATE_32, 1, 0, 0, mask),
        instruction(JUMP_EQUAL, 1, 0, 0, 0),
      );
    }
  }
  for (const [register, number] of [
    [4, rule.major],
    [5, rule.minor],
  ] as const) {
    if (number !== undefined && number >= 0) tests.push(instruction(JUMP_NOT_EQUAL, register, 0, 0, number));
  }
  const code = [
    ...tests,
    instruction(MOVE_IMMEDIATE, 0, 0, 0, rule.allow ? 1 : 0),
    instruction(EXIT, 0, 0, 0, 0),
  ];
  code.forEach((entry, index) => {
    if (JUMPS.has(entry.opcode)) entry.offset = code.length - index - 1;
  });
  return { code, unconditional: tests.length === 0 };
}

const JUMPS = new Set([JUMP_EQUAL, JUMP_NOT_EQUAL, JUMP_NOT_EQUAL_REGISTER]);

function encode(code: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(code.length * 8);
  const view = new DataView(bytes.buffer);
  code.forEach(({ opcode, destination, source, offset, immediate }, index) => {
    view.setUint8(index * 8, opcode);
    view.setUint8(index * 8 + 1, destination | (source << 4));
    view.setInt16(index * 8 + 2, offset, true);
    view.setInt32(index * 8 + 4, immediate, true);
  });
  return bytes;
}
