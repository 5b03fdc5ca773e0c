/**
 * A long list reply, encoded portion by portion. In the wire format two encodings of a message one after the other are
 * the encoding of both merged, and merging appends to repeated fields; so the portions' encodings make the whole, and
 * none of them keeps the event loop for long.
 */
import { EncodedMessage, encodeMessage } from "./protocol.ts";

export class ReplyParts<Response extends object> {
  readonly #type: string;
  readonly #parts: Buffer[] = [];

  /** @param type short name of the reply's message type. */
  constructor(type: string) {
    this.#type = type;
  }

  /** Items of the reply's lists. */
  add(part: Response): void {
    this.#parts.push(encodeMessage(this.#type, part));
  }

  finish(): EncodedMessage {
    return new EncodedMessage(Buffer.concat(this.#parts));
  }
}
