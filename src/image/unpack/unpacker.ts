/** The unpacker, as the rest of the image module uses it: the interface, and the pool of workers behind it. */
export type {
  Compression,
  UnpackRequest,
  UnpackResult,
  Unpacker,
  UnpackerOptions,
} from "./unpack-contract.ts";
export { createUnpacker } from "./worker-pool.ts";
