/** The addon's part "device filter": the eBPF program of a cgroup v2 group's device rules. */
import { addon } from "./addon.ts";

const native = addon as { attachDeviceFilter: (directory: string, program: Uint8Array) => void };

/**
 * Loads the program (an array of struct bpf_insn) and makes it the group's only one of its kind.
 * @throws an Error with code, syscall and path.
 */
export function attachDeviceFilter(directory: string, program: Uint8Array): void {
  native.attachDeviceFilter(directory, program);
}
