/**
 * A control connection to a shim: requests and their replies by id. Any number may be under way; replies may come
 * in any order (WAIT answers when the container exits).
 */
import { Socket } from "node:net";
import { GantryError } from "../base/errors.ts";
import { readFailure, ShimRequestError } from "./failure.ts";
import { encodeFrame, FieldReader, FrameDecoder } from "./frame.ts";
import type { Fields, Frame } from "./frame.ts";
import { MESSAGE, PROTOCOL_VERSION } from "./protocol.ts";

/** A shim that is stopped or stuck makes calls fail after this time instead of gathering them. */
const REQUEST_TIMEOUT_MS = 10_000;

interface Pending {
  resolve: (fields: FieldReader) => void;
  reject: (error: unknown) => void;
  timer: NodeJS.Timeout | undefined;
}

/** What a client says first; sent together with its first request. */
export function helloFrame(): Buffer {
  return encodeFrame(MESSAGE.HELLO, 0, { VERSION: PROTOCOL_VERSION });
}

/** @throws GantryError failed-precondition for a shim that does not speak this protocol. */
export function checkHello(frame: Frame): FieldReader {
  const fields = new FieldReader(frame.payload);
  const version = fields.u32("VERSION");
  if (version === undefined || version < 1)
    throw new GantryError(
      "failed-precondition",
      `shim protocol: version ${version ?? "missing"} is not spoken here`,
    );
  return fields;
}

/** Hands on each whole frame that a socket delivers. One that cannot be read or taken ends the connection. */
export function onFrames(socket: Socket, take: (frame: Frame) => void): void {
  const decoder = new FrameDecoder();
  socket.on("data", (chunk: Buffer) => {
    try {
      for (const frame of decoder.push(chunk)) take(frame);
    } catch (error) {
      socket.destroy(error as Error);
    }
  });
}

export class ShimConnection {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #closed = false;
  #planBuild: number | undefined;
  /** Resolves when the connection has gone, whoever ended it. Never rejects. */
  readonly closed: Promise<void>;

  /** @param socket connected or connecting; owned by the connection from now on. */
  constructor(socket: Socket) {
    this.#socket = socket;
    const gone = Promise.withResolvers<void>();
    this.closed = gone.promise;
    onFrames(socket, (frame) => this.#handle(frame));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#closed = true;
      const error = new GantryError("unavailable", "the shim's connection is closed");
      for (const id of this.#pending.keys()) this.#take(id)?.reject(error);
      gone.resolve();
    });
    socket.write(helloFrame());
  }

  /** @param fd one end of a connected stream socket. */
  static fromDescriptor(fd: number): ShimConnection {
    return new ShimConnection(new Socket({ fd, readable: true, writable: true }));
  }

  /**
   * @param timeoutMs 0 for none.
   * @throws ShimRequestError where the shim refuses, GantryError unavailable where it is gone or does not answer.
   */
  request(type: number, fields: Fields = {}, timeoutMs: number = REQUEST_TIMEOUT_MS): Promise<FieldReader> {
    if (this.#closed)
      return Promise.reject(new GantryError("unavailable", "the shim's connection is closed"));
    const id = this.#nextId++ >>> 0;
    const { promise, resolve, reject } = Promise.withResolvers<FieldReader>();
    const expire = (): void => {
      this.#take(id)?.reject(
        new GantryError("unavailable", `the shim has not answered within ${timeoutMs} ms`),
      );
    };
    const timer = timeoutMs > 0 ? setTimeout(expire, timeoutMs).unref() : undefined;
    this.#pending.set(id, { resolve, reject, timer });
    this.#socket.write(encodeFrame(type, id, fields));
    return promise;
  }

  /** Fingerprint of the plans that the shim itself understands; undefined before its HELLO, or where it tells none. */
  get planBuild(): number | undefined {
    return this.#planBuild;
  }

  /** It has gone, whoever ended it. */
  get isClosed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending) clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }

  #handle(frame: Frame): void {
    if (frame.type === MESSAGE.HELLO) {
      this.#planBuild = checkHello(frame).u32("PLAN_BUILD");
      return;
    }
    const pending = this.#take(frame.requestId);
    if (!pending) return;
    const fields = new FieldReader(frame.payload);
    if (frame.type === MESSAGE.OK) pending.resolve(fields);
    else pending.reject(new ShimRequestError(readFailure(fields)));
  }
}
