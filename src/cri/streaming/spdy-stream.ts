/**
 * One stream of a SPDY connection, as a Duplex. What the client sends waits here until it is read, within a bound;
 * what is written goes out as data frames. Destroying it before both sides have ended resets it.
 */
import { Duplex } from "node:stream";
import type { SpdyHeaders } from "./spdy-headers.ts";

/** What may wait to be read before the whole connection is held up. */
const BUFFER_BYTES = 64 * 1024;

/** What a stream needs of its connection. */
export interface SpdyStreamOwner {
  /** Resolves when more may be written. */
  sendData(stream: SpdyStream, bytes: Buffer, fin: boolean): Promise<void>;
  /** @param complete both sides have ended; else the client is to be told. */
  release(stream: SpdyStream, complete: boolean): void;
}

export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: SpdyHeaders;
  /** Bytes that the client's window still takes; counts only where the client uses windows. */
  sendWindow: number;
  readonly #owner: SpdyStreamOwner;
  #room: PromiseWithResolvers<void> | undefined;
  #received = false;
  #sent = false;
  #resetByPeer = false;

  constructor(owner: SpdyStreamOwner, id: number, headers: SpdyHeaders, sendWindow: number) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#owner = owner;
    this.id = id;
    this.headers = headers;
    this.sendWindow = sendWindow;
    // The end of a connection is told by the connection.
    this.on("error", () => undefined);
  }

  /** For the connection: bytes from the client. What it returns resolves when there is room for more. */
  deliver(bytes: Buffer, fin: boolean): Promise<void> | undefined {
    if (this.destroyed || this.#received) return undefined;
    const room = bytes.length === 0 || this.push(bytes);
    this.#received = fin;
    if (fin) this.push(null);
    return room || fin ? undefined : (this.#room ??= Promise.withResolvers()).promise;
  }

  /** For the connection: the client has given it up, or has gone. */
  abandon(): void {
    this.#resetByPeer = true;
    this.destroy();
  }

  override _read(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#owner.sendData(this, chunk, false).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#sent = true;
    this.#owner.sendData(this, Buffer.alloc(0), true).then(() => done(), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this._read();
    this.#owner.release(this, this.#resetByPeer || (this.#received && this.#sent));
    done(error);
  }
}
