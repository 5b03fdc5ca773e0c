/**
 * Calls in both directions over one socket: ttrpc on two streams of the NRI multiplexer. The runtime calls on the first
 * stream and answers on the second.
 *
 * Whatever the peer does wrong (bytes that are no frame, a response that nobody waits for, more than it may have under
 * way, not reading what it is sent) ends this connection and nothing else; memory is bounded by the constants here.
 */
import type { Duplex } from "node:stream";
import { errorMessage, GantryError } from "../base/errors.ts";
import type { Request, Request__Output } from "./generated/ttrpc/ttrpc/Request.ts";
import type { Response, Response__Output } from "./generated/ttrpc/ttrpc/Response.ts";
import { Demultiplexer, framesOf, PLUGIN_SERVICE_STREAM, RUNTIME_SERVICE_STREAM } from "./mux.ts";
import { ttrpcCodec } from "./protocol.ts";
import {
  encodeFrame,
  FLAG_REMOTE_CLOSED,
  FRAME_DATA,
  FRAME_REQUEST,
  FRAME_RESPONSE,
  FrameDecoder,
  MAX_MESSAGE_BYTES,
  type TtrpcFrame,
} from "./ttrpc-frame.ts";

/** Calls of the peer under way at once. */
const MAX_SERVING = 64;
const MAX_SERVING_BYTES = 4 * MAX_MESSAGE_BYTES;
/** Of what the peer has not read yet. */
const MAX_UNSENT_BYTES = 4 * MAX_MESSAGE_BYTES;

/** Of a peer's error: it goes into a reply of the CRI, and into the log. */
const MAX_ERROR = 2048;
/** The reason of a connection that the peer closed. */
export const PEER_LEFT = "the plugin has gone";

export const STATUS_UNKNOWN = 2;
export const STATUS_UNIMPLEMENTED = 12;

const requests = ttrpcCodec<Request, Request__Output>("Request");
const responses = ttrpcCodec<Response, Response__Output>("Response");

/** The peer answered with an error; the connection is well. */
export class TtrpcStatusError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Answers a call of the peer. What it throws is told to the peer. */
export type TtrpcService = (service: string, method: string, payload: Buffer) => Promise<Uint8Array>;

interface PendingCall {
  resolve(payload: Buffer): void;
  reject(error: Error): void;
}

export class TtrpcConnection {
  readonly #socket: Duplex;
  readonly #service: TtrpcService;
  readonly #calls = new Map<number, PendingCall>();
  readonly #closed = Promise.withResolvers<GantryError>();
  #reason: GantryError | undefined;
  #nextStreamId = 1;
  #lastPeerStreamId = 0;
  #serving = 0;
  #servingBytes = 0;

  constructor(socket: Duplex, service: TtrpcService) {
    this.#socket = socket;
    this.#service = service;
    const streams = new Demultiplexer();
    const answers = new FrameDecoder((frame) => this.#answered(frame));
    const calls = new FrameDecoder((frame) => this.#called(frame));
    streams.open(PLUGIN_SERVICE_STREAM, (bytes) => answers.receive(bytes));
    streams.open(RUNTIME_SERVICE_STREAM, (bytes) => calls.receive(bytes));
    socket.on("data", (chunk: Buffer) => {
      if (this.#reason) return;
      try {
        streams.receive(chunk);
      } catch (error) {
        this.close(`protocol violated: ${errorMessage(error)}`);
      }
    });
    socket.on("error", (error) => this.close(errorMessage(error)));
    socket.on("end", () => this.close(PEER_LEFT));
    socket.on("close", () => this.close(PEER_LEFT));
  }

  /** Resolves with the reason when the connection is no more. */
  get closed(): Promise<GantryError> {
    return this.#closed.promise;
  }

  /** Idempotent; the first reason counts. Every call under way rejects with it. */
  close(reason: string): void {
    if (this.#reason) return;
    this.#reason = new GantryError("unavailable", reason);
    for (const call of this.#calls.values()) call.reject(this.#reason);
    this.#calls.clear();
    this.#socket.destroy();
    this.#closed.resolve(this.#reason);
  }

  /**
   * @throws TtrpcStatusError for an error of the peer's; deadline-exceeded, unavailable after the connection was closed,
   * resource-exhausted for a message that is too large to be sent.
   */
  async call(service: string, method: string, payload: Uint8Array, timeoutMs: number): Promise<Buffer> {
    if (this.#reason) throw this.#reason;
    const request = requests.encode({ service, method, payload, timeout_nano: timeoutMs * 1e6 });
    if (request.length > MAX_MESSAGE_BYTES)
      throw new GantryError(
        "resource-exhausted",
        `${method}: message of ${request.length} bytes, more than ${MAX_MESSAGE_BYTES}`,
      );
    const streamId = this.#nextStreamId;
    this.#nextStreamId += 2;
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    this.#calls.set(streamId, { resolve, reject });
    const late = new GantryError("deadline-exceeded", `${method} was not answered within ${timeoutMs} ms`);
    const timer = setTimeout(() => reject(late), timeoutMs);
    try {
      this.#send(PLUGIN_SERVICE_STREAM, {
        streamId,
        type: FRAME_REQUEST,
        flags: FLAG_REMOTE_CLOSED,
        payload: request,
      });
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #send(stream: number, frame: Parameters<typeof encodeFrame>[0]): void {
    if (this.#reason) return;
    this.#socket.write(framesOf(stream, encodeFrame(frame)));
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) this.close("it does not read what it is sent");
  }

  #answered(frame: TtrpcFrame): void {
    if (frame.type !== FRAME_RESPONSE) {
      if (frame.type === FRAME_DATA || frame.type === FRAME_REQUEST)
        throw new GantryError("invalid-argument", `frame of type ${frame.type} where responses are expected`);
      return;
    }
    const call = this.#calls.get(frame.streamId);
    if (!call)
      throw new GantryError("invalid-argument", `response to stream ${frame.streamId}, which is not open`);
    this.#calls.delete(frame.streamId);
    const { status, payload } = responses.decode(frame.payload);
    if (status && status.code !== 0)
      call.reject(new TtrpcStatusError(status.code, status.message.slice(0, MAX_ERROR)));
    else call.resolve(payload);
  }

  #called(frame: TtrpcFrame): void {
    // Types to come are for peers that know them.
    if (frame.type !== FRAME_REQUEST && frame.type !== FRAME_DATA && frame.type !== FRAME_RESPONSE) return;
    if (frame.type !== FRAME_REQUEST)
      throw new GantryError("invalid-argument", `frame of type ${frame.type} where requests are expected`);
    if (frame.streamId % 2 !== 1 || frame.streamId <= this.#lastPeerStreamId)
      throw new GantryError("invalid-argument", `request with stream id ${frame.streamId}`);
    this.#lastPeerStreamId = frame.streamId;
    this.#serving += 1;
    this.#servingBytes += frame.payload.length;
    if (this.#serving > MAX_SERVING || this.#servingBytes > MAX_SERVING_BYTES)
      throw new GantryError(
        "resource-exhausted",
        `more than ${MAX_SERVING} calls or ${MAX_SERVING_BYTES} bytes at once`,
      );
    const { service, method, payload } = requests.decode(frame.payload);
    void this.#serve(frame.streamId, service, method, payload).finally(() => {
      this.#serving -= 1;
      this.#servingBytes -= frame.payload.length;
    });
  }

  async #serve(streamId: number, service: string, method: string, payload: Buffer): Promise<void> {
    let response: Response;
    try {
      response = { payload: await this.#service(service, method, payload) };
    } catch (error) {
      const code = error instanceof TtrpcStatusError ? error.code : STATUS_UNKNOWN;
      response = { status: { code, message: errorMessage(error) } };
    }
    this.#send(RUNTIME_SERVICE_STREAM, {
      streamId,
      type: FRAME_RESPONSE,
      flags: 0,
      payload: responses.encode(response),
    });
  }
}
