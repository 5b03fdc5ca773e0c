/**
 * A client of the streaming server over SPDY, for tests: like the usual ones it knows no windows, and unlike them it
 * can misbehave. Every frame that comes is kept.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import {
  controlFrame,
  dataHeader,
  numbersFrame,
  SPDY_FRAME,
  SpdyDecoder,
  type SpdyFrame,
} from "./spdy-frame.ts";
import { SpdyHeaderWriter } from "./spdy-headers.ts";

export class SpdyTestClient {
  readonly socket: Socket;
  /** The answer's head. */
  readonly response: string;
  readonly #decoder = new SpdyDecoder();
  readonly #headers = new SpdyHeaderWriter();
  readonly #frames: SpdyFrame[] = [];
  #nextId = 1;
  #wake = Promise.withResolvers<void>();

  private constructor(socket: Socket, response: string, rest: Buffer) {
    this.socket = socket;
    this.response = response;
    this.#receive(rest);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("close", () => this.#wake.resolve());
    socket.resume();
  }

  /** Asks for the upgrade; resolves with the answer, whatever it is. */
  static async connect(
    url: string,
    protocols = "v4.channel.k8s.io",
    headers: Record<string, string> = {},
  ): Promise<SpdyTestClient> {
    const { hostname, port, pathname } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.on("error", () => undefined);
    const lines = {
      Host: hostname,
      Connection: "Upgrade",
      Upgrade: "SPDY/3.1",
      "X-Stream-Protocol-Version": protocols,
      ...headers,
    };
    const text = Object.entries(lines).map(([name, value]) => `${name}: ${value}`);
    socket.write(`POST ${pathname} HTTP/1.1\r\n${text.join("\r\n")}\r\n\r\n`);
    let received = Buffer.alloc(0);
    while (!received.includes("\r\n\r\n")) {
      const [chunk] = (await once(socket, "data")) as [Buffer];
      received = Buffer.concat([received, chunk]);
    }
    socket.pause();
    const end = received.indexOf("\r\n\r\n") + 4;
    return new SpdyTestClient(socket, received.toString("latin1", 0, end), received.subarray(end));
  }

  /** Makes a stream; its number. */
  open(headers: Record<string, string>, fin = false): number {
    const id = this.#nextId;
    this.#nextId += 2;
    this.openAs(id, headers, fin);
    return id;
  }

  openAs(id: number, headers: Record<string, string>, fin = false): void {
    const start = Buffer.alloc(10);
    start.writeUInt32BE(id);
    const block = this.#headers.block(new Map(Object.entries(headers)));
    this.socket.write(controlFrame(SPDY_FRAME.SYN_STREAM, Buffer.concat([start, block]), fin ? 1 : 0));
  }

  /** False when the socket takes no more. */
  send(id: number, data: string | Buffer, fin = false): boolean {
    const bytes = Buffer.from(data);
    return this.socket.write(Buffer.concat([dataHeader(id, bytes.length, fin), bytes]));
  }

  reset(id: number): void {
    this.socket.write(numbersFrame(SPDY_FRAME.RST_STREAM, id, 5));
  }

  frames(): readonly SpdyFrame[] {
    return this.#frames;
  }

  /** What has come on the stream so far. */
  received(id: number): Buffer {
    return Buffer.concat(
      this.#frames.flatMap((frame) => (frame.type === "data" && frame.streamId === id ? [frame.bytes] : [])),
    );
  }

  /** Resolves with the first frame that fits, which may have come already. @throws when the connection ends without. */
  async frame(fits: (frame: SpdyFrame) => boolean): Promise<SpdyFrame> {
    for (;;) {
      const found = this.#frames.find(fits);
      if (found) return found;
      if (this.socket.destroyed) throw new Error("the connection has ended without the frame");
      await this.#wake.promise;
    }
  }

  /** Everything of the stream, once the server has ended it. */
  async whole(id: number): Promise<Buffer> {
    await this.frame((frame) => frame.type === "data" && frame.streamId === id && frame.fin);
    return this.received(id);
  }

  /** Resolves when the connection has gone. */
  async closed(): Promise<void> {
    if (!this.socket.destroyed) await once(this.socket, "close");
  }

  #receive(chunk: Buffer): void {
    this.#frames.push(...this.#decoder.push(chunk));
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}
