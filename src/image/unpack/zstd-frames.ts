/**
 * Cuts a zstd stream at the ends of its frames (RFC 8878, section 3.1), and takes skippable frames out. Node's
 * decompressor takes a frame that ends within a write for the end of everything, but goes on where the next write starts
 * a frame. Layers with many frames are common: zstd:chunked has one for each file.
 */
import { GantryError } from "../../base/errors.ts";

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a5;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];
const RLE_BLOCK = 1;

/** What comes next; each is a number of bytes that is known. */
type State = "magic" | "skip-size" | "skip" | "descriptor" | "header" | "block-header" | "block" | "checksum";

export class ZstdFrameSplitter {
  #state: State = "magic";
  #left = 4;
  /** Little-endian value of a field, and its bytes so far, as it may cross the border of two chunks. */
  #field = 0;
  #fieldBytes = 0;
  #lastBlock = false;
  #hasChecksum = false;

  /** Whether the stream may end here. */
  get complete(): boolean {
    return this.#state === "magic" && this.#fieldBytes === 0;
  }

  /**
   * The pieces of the chunk to be written one by one.
   *
   * @throws GantryError invalid-argument where a frame should begin and does not.
   */
  split(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    let start = 0;
    for (let at = 0; at < chunk.length;) {
      const outside = this.#state === "magic" || this.#state === "skip-size" || this.#state === "skip";
      const taken = Math.min(this.#left, chunk.length - at);
      if (this.#state !== "skip" && this.#state !== "header" && this.#state !== "block") {
        for (let i = 0; i < taken; i++) this.#field += (chunk[at + i] ?? 0) * 256 ** this.#fieldBytes++;
      }
      at += taken;
      this.#left -= taken;
      if (outside) start = at;
      if (this.#left > 0) continue;
      const frameBegins = this.#state === "magic" && this.#field === FRAME_MAGIC;
      const state = this.#next();
      if (frameBegins) {
        // The mark belongs to the frame; where it came in two chunks it is made anew.
        if (at >= 4) start = at - 4;
        else pieces.push(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]));
      } else if (!outside && state === "magic") {
        pieces.push(chunk.subarray(start, at));
        start = at;
      }
    }
    const inFrame = this.#state !== "magic" && this.#state !== "skip-size" && this.#state !== "skip";
    if (inFrame && start < chunk.length) pieces.push(chunk.subarray(start));
    return pieces;
  }

  /** What stands after the field or run that is complete. */
  #next(): State {
    const value = this.#field;
    this.#field = 0;
    this.#fieldBytes = 0;
    switch (this.#state) {
      case "magic":
        if (value === FRAME_MAGIC) return this.#enter("descriptor", 1);
        if (Math.floor(value / 16) === SKIPPABLE_MAGIC) return this.#enter("skip-size", 4);
        throw new GantryError("invalid-argument", "zstd: no frame where one should begin");
      case "skip-size":
        return this.#enter("skip", value);
      case "skip":
      case "checksum":
        return this.#enter("magic", 4);
      case "descriptor": {
        this.#hasChecksum = (value & 4) !== 0;
        const singleSegment = (value & 0x20) !== 0;
        const sizeFlag = value >> 6;
        const contentSize = sizeFlag === 0 && singleSegment ? 1 : (CONTENT_SIZE_BYTES[sizeFlag] ?? 0);
        return this.#enter(
          "header",
          (singleSegment ? 0 : 1) + (DICTIONARY_ID_BYTES[value & 3] ?? 0) + contentSize,
        );
      }
      case "header":
        return this.#enter("block-header", 3);
      case "block-header": {
        this.#lastBlock = (value & 1) !== 0;
        const type = (value >> 1) & 3;
        return this.#enter("block", type === RLE_BLOCK ? 1 : value >> 3);
      }
      case "block":
        if (!this.#lastBlock) return this.#enter("block-header", 3);
        return this.#hasChecksum ? this.#enter("checksum", 4) : this.#enter("magic", 4);
    }
  }

  /** A run of no bytes is over at once. */
  #enter(state: State, bytes: number): State {
    this.#state = state;
    this.#left = bytes;
    return bytes === 0 ? this.#next() : state;
  }
}
