/**
 * Numbered channels over one WebSocket, as Kubernetes clients have them: the first byte of a message is the channel.
 * In the base64 forms it counts from the digit zero, and the rest is base64 in a text message. From v5 on, channel 255 closes the channel
 * whose number follows, in one direction.
 *
 * A channel that is not read holds up the connection. As its pings then wait unread, too, pongs that nobody asked for
 * keep the client from giving up, and show us when it has gone.
 */
import { Readable, Writable } from "node:stream";
import type { WebSocket } from "ws";

const CLOSE_CHANNEL = 255;
const DIGIT_ZERO = 0x30;
const RECEIVE_BUFFER_BYTES = 256 * 1024;
const STALLED_PONG_MS = 5_000;
const LINGER_MS = 10_000;
const NORMAL_CLOSURE = 1000;

export interface ChannelCodec {
  base64: boolean;
  /** Has the CLOSE channel. */
  closes: boolean;
}

export class WebSocketChannels {
  readonly #socket: WebSocket;
  readonly #codec: ChannelCodec;
  readonly #readers = new Map<number, Readable>();
  readonly #full = new Set<Readable>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #onActivity: () => void;
  #stalled: NodeJS.Timeout | undefined;

  /** @param onActivity told of every message in either direction. */
  constructor(socket: WebSocket, codec: ChannelCodec, onActivity: () => void) {
    this.#socket = socket;
    this.#codec = codec;
    this.#onActivity = onActivity;
    socket.on("message", (message: Buffer) => {
      onActivity();
      this.#receive(message);
    });
    socket.on("ping", onActivity);
    socket.on("error", () => undefined);
    socket.once("close", () => {
      clearInterval(this.#stalled);
      this.#closed.resolve();
      for (const reader of this.#readers.values()) reader.destroy();
    });
  }

  /** Resolves when the connection has gone, whoever ended it. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** What the client sends on this channel. To be called before the first message can come. */
  readable(channel: number): Readable {
    const reader: Readable = new Readable({
      highWaterMark: RECEIVE_BUFFER_BYTES,
      read: () => this.#taken(reader),
      destroy: (error, done) => {
        this.#taken(reader);
        done(error);
      },
    });
    reader.on("error", () => undefined);
    this.#readers.set(channel, reader);
    return reader;
  }

  /** What is written is sent on this channel; its end is not told, as the protocol has no way to. */
  writable(channel: number): Writable {
    const writer = new Writable({
      write: (chunk: Buffer, _encoding, done) => this.#send(channel, chunk, done),
    });
    writer.on("error", () => undefined);
    return writer;
  }

  /** An empty message, by which a client knows that the server is there. */
  greet(channel: number): void {
    this.#send(channel, Buffer.alloc(0), () => undefined);
  }

  destroy(): void {
    this.#socket.terminate();
  }

  /** Closes once all that was written has been sent, and waits for the client to do so, too. */
  async end(): Promise<void> {
    for (const reader of this.#readers.values()) reader.destroy();
    const timer = setTimeout(() => this.destroy(), LINGER_MS);
    this.#socket.close(NORMAL_CLOSURE);
    await this.closed;
    clearTimeout(timer);
  }

  #send(channel: number, bytes: Buffer, done: (error?: Error | null) => void): void {
    this.#onActivity();
    if (this.#codec.base64) {
      const text = String.fromCharCode(DIGIT_ZERO + channel) + bytes.toString("base64");
      this.#socket.send(text, { binary: false }, (error) => done(error));
    } else
      this.#socket.send(Buffer.concat([Buffer.of(channel), bytes]), { binary: true }, (error) => done(error));
  }

  #receive(message: Buffer): void {
    const [first] = message;
    if (first === undefined) return;
    if (this.#codec.closes && first === CLOSE_CHANNEL) {
      const closing = message[1] ?? CLOSE_CHANNEL;
      const reader = this.#readers.get(closing);
      if (reader && !reader.destroyed) reader.push(null);
      this.#readers.delete(closing);
      return;
    }
    const { base64 } = this.#codec;
    const reader = this.#readers.get(base64 ? first - DIGIT_ZERO : first);
    // A channel that is not there, or not read any more, is no reason to end the others.
    if (!reader || reader.destroyed || message.length === 1) return;
    const rest = message.subarray(1);
    if (!reader.push(base64 ? Buffer.from(rest.toString("latin1"), "base64") : rest)) this.#stall(reader);
  }

  #stall(reader: Readable): void {
    this.#full.add(reader);
    this.#socket.pause();
    this.#stalled ??= setInterval(() => this.#socket.pong(), STALLED_PONG_MS);
  }

  #taken(reader: Readable): void {
    if (!this.#full.delete(reader) || this.#full.size > 0) return;
    clearInterval(this.#stalled);
    this.#stalled = undefined;
    this.#socket.resume();
  }
}
