/** Puts a header of fixed length together from a stream of bytes, which may cut it anywhere. */
export class FrameHeader {
  readonly bytes: Buffer;
  #filled = 0;

  constructor(length: number) {
    this.bytes = Buffer.alloc(length);
  }

  get whole(): boolean {
    return this.#filled === this.bytes.length;
  }

  /** Takes what is missing from the chunk, beginning at `offset`; how many bytes that were. */
  take(chunk: Buffer, offset: number): number {
    const copied = chunk.copy(this.bytes, this.#filled, offset, offset + this.bytes.length - this.#filled);
    this.#filled += copied;
    return copied;
  }

  /** The next bytes belong to another header. */
  reset(): void {
    this.#filled = 0;
  }
}
