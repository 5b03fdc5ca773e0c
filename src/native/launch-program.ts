/** The addon's part "launch_program": `gantry-shim launch` for the gantry-oci command. */
import { addon } from "./addon.ts";

export interface LaunchProgramAddon {
  /**
   * Starts the launcher with descriptors 0 … 2 + preserve of this process, then the plan, then the one for its result,
   * without an environment. Waits for the result, and for the launcher's end unless it stays: then it has a session of
   * its own.
   *
   * @param args without the program's own name, at most 16.
   * @returns the launcher's pid, and all that it wrote, which is nothing where it died.
   */
  launchProgram(
    program: string,
    args: string[],
    plan: Uint8Array,
    preserve: number,
    stays: boolean,
  ): { pid: number; result: Buffer };
  /** Exit status of a child, or 128 and the number of the signal that ended it. Once for each child. */
  awaitProgram(pid: number): Promise<number>;
}

export const launchProgramAddon: LaunchProgramAddon = addon as LaunchProgramAddon;
