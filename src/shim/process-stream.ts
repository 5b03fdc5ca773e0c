/**
 * A connection that is one process's stream (exec, attach), as Node streams with back-pressure both ways.
 *
 * Standard output and standard error share the socket, as they share the process's patience: whoever reads one
 * and not the other will see the first stop, too.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { Readable, Writable } from "node:stream";
import { errorMessage, GantryError } from "../base/errors.ts";
import { checkHello, helloFrame, onFrames } from "./connection.ts";
import { readFailure, ShimRequestError } from "./failure.ts";
import { encodeData, encodeFrame, FieldReader } from "./frame.ts";
import type { Fields, Frame } from "./frame.ts";
import { MESSAGE, OPTION } from "./protocol.ts";

/** The one request of such a connection. */
const REQUEST_ID = 1;

export interface StreamRequest {
  type: typeof MESSAGE.EXEC | typeof MESSAGE.ATTACH;
  fields: Fields;
  stdin: boolean;
  /** A separate standard error: not with a terminal. */
  stderr: boolean;
}

export class ProcessStream {
  readonly stdout: Readable;
  readonly stderr: Readable | undefined;
  readonly stdin: Writable | undefined;
  /** Resolves with EXIT, after all output; rejects with unavailable where the connection ends without. */
  readonly exit: Promise<{ exitCode: number; signal: number }>;
  readonly #socket: Socket;
  readonly #full = new Set<Readable>();
  readonly #reply = Promise.withResolvers<FieldReader>();
  readonly #exit = Promise.withResolvers<{ exitCode: number; signal: number }>();
  #ended = false;
  #abandoned = false;
  /** Closing the connection is enough to end what was asked for. */
  readonly #diesWithUs: boolean;

  /**
   * Connects and asks; resolves with the stream and the reply's fields once the shim has agreed. An abort before
   * that kills the process, should it have been started.
   *
   * @throws ShimRequestError where the shim refuses, GantryError unavailable where there is none.
   */
  static async open(
    path: string,
    request: StreamRequest,
    signal: AbortSignal,
  ): Promise<{ stream: ProcessStream; fields: FieldReader }> {
    signal.throwIfAborted();
    const stream = new ProcessStream(connect({ path }), request);
    const abort = (): void => stream.#abandon(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      return { stream, fields: await stream.#reply.promise };
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  private constructor(socket: Socket, request: StreamRequest) {
    this.#socket = socket;
    const options = typeof request.fields.OPTIONS === "number" ? request.fields.OPTIONS : 0;
    this.#diesWithUs = request.type === MESSAGE.ATTACH || (options & OPTION.KILL_ON_DISCONNECT) !== 0;
    this.exit = this.#exit.promise;
    this.exit.catch(() => undefined);
    this.stdout = this.#readable();
    this.stderr = request.stderr ? this.#readable() : undefined;
    this.stdin = request.stdin ? this.#writable() : undefined;
    onFrames(socket, (frame) => this.#handle(frame));
    socket.on("error", (error) => this.#lost(error));
    socket.on("close", () => this.#lost());
    socket.write(Buffer.concat([helloFrame(), encodeFrame(request.type, REQUEST_ID, request.fields)]));
  }

  /** Leaves, without waiting for anything. */
  close(): void {
    this.#socket.destroy();
  }

  #readable(): Readable {
    const stream: Readable = new Readable({
      read: () => {
        if (this.#full.delete(stream) && this.#full.size === 0) this.#socket.resume();
      },
      destroy: (error, done) => {
        /* What nobody wants any more must not hold up the other stream. */
        if (this.#full.delete(stream) && this.#full.size === 0) this.#socket.resume();
        done(error);
      },
    });
    /* The loss of the connection is told by `exit`; an error without a listener would end the daemon. */
    stream.on("error", () => undefined);
    return stream;
  }

  #writable(): Writable {
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.#socket.write(encodeData(MESSAGE.STDIN, REQUEST_ID, chunk), (error) => done(error));
      },
      final: (done) => {
        if (this.#ended || this.#socket.destroyed) done();
        else this.#socket.write(encodeFrame(MESSAGE.STDIN_CLOSE, REQUEST_ID), () => done());
      },
    });
    stream.on("error", () => undefined);
    return stream;
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case MESSAGE.HELLO:
        checkHello(frame);
        break;
      case MESSAGE.OK:
        if (this.#abandoned) this.#socket.end(encodeFrame(MESSAGE.KILL, 0, { SIGNAL: 9 }));
        this.#reply.resolve(new FieldReader(frame.payload));
        break;
      case MESSAGE.ERROR:
        this.#reply.reject(new ShimRequestError(readFailure(new FieldReader(frame.payload))));
        if (frame.requestId === REQUEST_ID) this.#socket.destroy();
        break;
      case MESSAGE.STDOUT:
        this.#deliver(this.stdout, frame.payload);
        break;
      case MESSAGE.STDERR:
        this.#deliver(this.stderr ?? this.stdout, frame.payload);
        break;
      case MESSAGE.EXIT:
        this.#finish(new FieldReader(frame.payload));
        break;
    }
  }

  #deliver(stream: Readable, bytes: Buffer): void {
    if (stream.destroyed || stream.push(bytes)) return;
    this.#full.add(stream);
    this.#socket.pause();
  }

  #finish(fields: FieldReader): void {
    this.#ended = true;
    this.stdout.push(null);
    this.stderr?.push(null);
    this.#exit.resolve({ exitCode: fields.u32("EXIT_CODE") ?? 255, signal: fields.u32("EXIT_SIGNAL") ?? 0 });
    this.#socket.destroy();
    this.stdin?.destroy();
  }

  #lost(cause?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    const why = cause ? errorMessage(cause) : "closed";
    const error = new GantryError("unavailable", `the shim's connection: ${why}`, { cause });
    this.#reply.reject(error);
    this.#exit.reject(error);
    this.stdout.destroy(error);
    this.stderr?.destroy(error);
    this.stdin?.destroy(error);
  }

  #abandon(reason: unknown): void {
    this.#reply.reject(reason);
    if (this.#diesWithUs) this.#socket.destroy();
    else this.#abandoned = true;
  }
}
