/**
 * The server's side of a SPDY/3.1 connection over any duplex stream: the client makes streams, we answer them.
 *
 * Frames are handled one after the other, so what cannot be taken now holds up the connection and not memory. The
 * usual clients know no flow control: they neither keep to windows nor update ours. So a client's windows count from
 * the moment it has spoken of any, and what holds a client up is the connection. While it is held up, pings go out:
 * without reading, that is how the end of a client is noticed.
 */
import type { Duplex } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { GantryError } from "../../base/errors.ts";
import {
  controlFrame,
  dataHeader,
  numbersFrame,
  SPDY_FRAME,
  SPDY_RESET,
  SpdyDecoder,
  type SpdyFrame,
} from "./spdy-frame.ts";
import { type SpdyHeaders, SpdyHeaderReader, SpdyHeaderWriter } from "./spdy-headers.ts";
import { SpdyStream } from "./spdy-stream.ts";

export const MAX_STREAMS = 1000;
/** Of every stream and of the connection, until a client says otherwise. */
const INITIAL_WINDOW_BYTES = 64 * 1024;
const MAX_DATA_BYTES = 32 * 1024;
/** What waits to be read of a stream whose client keeps to its window. */
const MAX_WINDOWED_BYTES = 4 * INITIAL_WINDOW_BYTES;
/** The same of all streams together. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** After so many frames others have a turn: one chunk holds thousands of them. */
const FRAMES_PER_TURN = 256;
/** Above this, no answer is written before the client has read earlier ones. */
const MAX_UNREAD_BYTES = 1024 * 1024;
/** Kubernetes clients do not look at them, others insist. */
const REPLY_HEADERS: SpdyHeaders = new Map([
  [":status", "200"],
  [":version", "HTTP/1.1"],
]);
const LINGER_MS = 10_000;
const STALLED_PING_MS = 5_000;

export interface SpdyConnectionOptions {
  /** A new stream, already accepted. It is the handler's to read or destroy. */
  onStream: (stream: SpdyStream) => void;
  /** Told of each frame in either direction, for an idle timeout. */
  onActivity?: () => void;
}

export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #options: SpdyConnectionOptions;
  readonly #decoder = new SpdyDecoder();
  readonly #headerReader = new SpdyHeaderReader();
  readonly #headerWriter = new SpdyHeaderWriter();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #closed = Promise.withResolvers<void>();
  #drained: PromiseWithResolvers<void> | undefined;
  #lastStreamId = 0;
  #pingId = 0;
  #ending = false;
  /** The client keeps to windows and updates ours. */
  #windowed = false;
  #initialWindow = INITIAL_WINDOW_BYTES;
  #sendWindow = INITIAL_WINDOW_BYTES;
  #windowOpened = Promise.withResolvers<void>();
  /** Bytes for streams that had no room for them. */
  #waiting = 0;
  #unacknowledged = new Map<number, number>();

  /** @param socket owned by the connection from now on. */
  constructor(socket: Duplex, options: SpdyConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on("error", () => undefined);
    socket.on("drain", () => this.#resume());
    socket.once("close", () => {
      this.#closed.resolve();
      this.#resume();
      for (const stream of this.#streams.values()) stream.abandon();
      this.#headerReader.close();
    });
    void this.#run();
  }

  /** Resolves when the connection has gone, whoever ended it. Never rejects. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Drops everything at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  /**
   * Ends the connection once all that was written has been sent. What the client still sends is read and thrown
   * away until it closes, too: to close with unread input would cost it what it has not read yet.
   */
  async end(): Promise<void> {
    if (this.#ending) return await this.closed;
    this.#ending = true;
    for (const stream of this.#streams.values()) stream.destroy();
    this.#send(numbersFrame(SPDY_FRAME.GOAWAY, this.#lastStreamId, 0));
    this.#socket.end();
    const timer = setTimeout(() => this.destroy(), LINGER_MS);
    await this.closed;
    clearTimeout(timer);
  }

  async sendData(stream: SpdyStream, bytes: Buffer, fin: boolean): Promise<void> {
    let rest = bytes;
    do {
      let size = Math.min(rest.length, MAX_DATA_BYTES);
      if (this.#windowed && rest.length > 0) {
        const window = Math.min(stream.sendWindow, this.#sendWindow);
        if (window <= 0) {
          await this.#windowOpened.promise;
          this.#checkOpen(stream);
          continue;
        }
        size = Math.min(size, window);
      }
      this.#checkOpen(stream);
      this.#options.onActivity?.();
      stream.sendWindow -= size;
      this.#sendWindow -= size;
      const piece = rest.subarray(0, size);
      rest = rest.subarray(size);
      this.#socket.cork();
      this.#send(dataHeader(stream.id, size, fin && rest.length === 0));
      if (size > 0) this.#send(piece);
      this.#socket.uncork();
      if (this.#socket.writableNeedDrain) await this.#drain();
    } while (rest.length > 0);
  }

  release(stream: SpdyStream, complete: boolean): void {
    this.#streams.delete(stream.id);
    this.#unacknowledged.delete(stream.id);
    if (!complete) this.#send(numbersFrame(SPDY_FRAME.RST_STREAM, stream.id, SPDY_RESET.CANCEL));
    // Who waits for a window may be waiting for this stream's.
    this.#openWindows();
  }

  async #run(): Promise<void> {
    let frames = 0;
    try {
      for await (const chunk of this.#socket.iterator({ destroyOnReturn: false }))
        for (const frame of this.#decoder.push(chunk as Buffer)) {
          this.#options.onActivity?.();
          await this.#handle(frame);
          if (++frames % FRAMES_PER_TURN === 0) await nextTurn();
        }
      if (!this.#ending) this.destroy();
    } catch {
      this.destroy();
    }
  }

  async #handle(frame: SpdyFrame): Promise<void> {
    switch (frame.type) {
      case "data":
        await this.#receive(frame.streamId, frame.bytes, frame.fin);
        break;
      case "syn-stream":
        this.#open(frame.streamId, frame.fin, await this.#headerReader.read(frame.block));
        break;
      case "headers":
        await this.#headerReader.read(frame.block);
        if (frame.fin) await this.#receive(frame.streamId, Buffer.alloc(0), true);
        break;
      case "reset":
        this.#streams.get(frame.streamId)?.abandon();
        break;
      case "settings":
        this.#resizeWindows(frame.initialWindow);
        break;
      case "ping":
        // Even numbers are answers to ours.
        if (frame.id % 2 === 1) this.#send(numbersFrame(SPDY_FRAME.PING, frame.id));
        break;
      case "goaway":
        // It makes no more streams; those that it has go on.
        break;
      case "window-update":
        this.#grow(frame.streamId, frame.delta);
        break;
    }
    if (this.#socket.writableLength > MAX_UNREAD_BYTES) await this.#drain();
  }

  #open(id: number, fin: boolean, headers: SpdyHeaders): void {
    if (id % 2 === 0 || id <= this.#lastStreamId)
      throw new GantryError("invalid-argument", `spdy: stream ${id} out of order`);
    this.#lastStreamId = id;
    if (this.#ending) return;
    if (this.#streams.size >= MAX_STREAMS) {
      this.#send(numbersFrame(SPDY_FRAME.RST_STREAM, id, SPDY_RESET.REFUSED_STREAM));
      return;
    }
    const stream = new SpdyStream(this, id, headers, this.#initialWindow);
    this.#streams.set(id, stream);
    const streamId = Buffer.alloc(4);
    streamId.writeUInt32BE(id);
    const reply = Buffer.concat([streamId, this.#headerWriter.block(REPLY_HEADERS)]);
    this.#send(controlFrame(SPDY_FRAME.SYN_REPLY, reply));
    if (fin) void stream.deliver(Buffer.alloc(0), true);
    this.#options.onStream(stream);
  }

  async #receive(streamId: number, bytes: Buffer, fin: boolean): Promise<void> {
    const stream = this.#ending ? undefined : this.#streams.get(streamId);
    const room = stream?.deliver(bytes, fin);
    this.#acknowledge(0, bytes.length);
    const taken = (): void => {
      if (this.#streams.has(streamId) && !fin) this.#acknowledge(streamId, bytes.length);
    };
    if (!stream || !room) return taken();
    if (
      this.#windowed &&
      stream.readableLength < MAX_WINDOWED_BYTES &&
      this.#waiting + bytes.length <= MAX_WAITING_BYTES
    ) {
      // The stream's window holds the client up, and its other frames may be what the stream waits for.
      this.#waiting += bytes.length;
      void room.then(() => {
        this.#waiting -= bytes.length;
        taken();
      });
      return;
    }
    const stalled = setInterval(() => this.#pingStalled(), STALLED_PING_MS);
    await room;
    clearInterval(stalled);
    taken();
  }

  /** Gives the client back the window of what has been taken, half a window at a time. */
  #acknowledge(streamId: number, length: number): void {
    const taken = (this.#unacknowledged.get(streamId) ?? 0) + length;
    const due = taken >= INITIAL_WINDOW_BYTES / 2;
    this.#unacknowledged.set(streamId, due ? 0 : taken);
    if (due) this.#send(numbersFrame(SPDY_FRAME.WINDOW_UPDATE, streamId, taken));
  }

  #pingStalled(): void {
    if (this.#socket.writableNeedDrain) return;
    this.#pingId = (this.#pingId + 2) % 0x8000_0000;
    this.#send(numbersFrame(SPDY_FRAME.PING, this.#pingId));
  }

  #resizeWindows(initial: number | undefined): void {
    this.#windowed = true;
    if (initial === undefined) return;
    for (const stream of this.#streams.values()) stream.sendWindow += initial - this.#initialWindow;
    this.#initialWindow = initial;
    this.#openWindows();
  }

  #grow(streamId: number, delta: number): void {
    this.#windowed = true;
    const target = this.#streams.get(streamId);
    const before = streamId === 0 ? this.#sendWindow : (target?.sendWindow ?? 0);
    if (streamId === 0) this.#sendWindow += delta;
    else if (target) target.sendWindow += delta;
    // Waking those who wait costs something for each of them.
    if (before <= 0 && before + delta > 0) this.#openWindows();
  }

  #openWindows(): void {
    this.#windowOpened.resolve();
    this.#windowOpened = Promise.withResolvers();
  }

  #checkOpen(stream: SpdyStream): void {
    if (stream.destroyed || this.#socket.destroyed)
      throw new GantryError("cancelled", "spdy: the stream is closed");
  }

  #send(bytes: Buffer): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /** Resolves when the socket takes more, or has closed. */
  async #drain(): Promise<void> {
    if (!this.#socket.writableNeedDrain) return;
    this.#drained ??= Promise.withResolvers();
    await this.#drained.promise;
  }

  #resume(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
    this.#openWindows();
  }
}
