/** The pool of unpack workers. See unpacker.ts for the contract. */
import { GantryError } from "../../base/errors.ts";
import type { Unpacker, UnpackerOptions } from "./unpacker.ts";

export function createUnpacker(options: UnpackerOptions): Unpacker {
  throw new GantryError("unimplemented", `unpacker with ${options.workers} workers is not built yet`);
}
