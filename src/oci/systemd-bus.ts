/**
 * One connection to systemd over D-Bus: calls with a time limit, and signals. The library does the wire format and the
 * authentication, and is loaded with the first connection: a host whose groups systemd does not make never reads it.
 *
 * The socket is systemd's own, on which there is no bus between, or that of the system bus. The connection keeps a
 * process alive only while an answer is awaited.
 */
import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { errorMessage, errnoCode, GantryError, type ErrorKind } from "../base/errors.ts";

/** A socket, and whether a message bus is behind it rather than systemd itself. */
export interface BusAddress {
  path: string;
  isBus: boolean;
}

export interface BusMessage {
  type?: number;
  serial?: number;
  replySerial?: number;
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  destination?: string;
  signature?: string;
  body?: unknown[];
}

interface LibraryConnection extends EventEmitter {
  stream: Socket;
  message(message: BusMessage): void;
}

interface Library {
  createConnection(options: Record<string, unknown>): LibraryConnection;
  messageType: Record<"methodCall" | "methodReturn" | "error" | "signal", number>;
}

/** "org.freedesktop.systemd1.NoSuchUnit" and the like, as they concern callers. */
const KIND_OF_ERROR: Record<string, ErrorKind> = {
  "org.freedesktop.systemd1.UnitExists": "already-exists",
  "org.freedesktop.systemd1.NoSuchUnit": "not-found",
  "org.freedesktop.systemd1.UnitMasked": "failed-precondition",
  "org.freedesktop.systemd1.ShuttingDown": "unavailable",
  "org.freedesktop.DBus.Error.UnknownObject": "not-found",
  "org.freedesktop.DBus.Error.InvalidArgs": "invalid-argument",
  "org.freedesktop.DBus.Error.PropertyReadOnly": "failed-precondition",
  "org.freedesktop.DBus.Error.UnknownProperty": "failed-precondition",
  "org.freedesktop.DBus.Error.NotSupported": "failed-precondition",
  "org.freedesktop.DBus.Error.AccessDenied": "permission-denied",
  "org.freedesktop.DBus.Error.ServiceUnknown": "unavailable",
  "org.freedesktop.DBus.Error.NoReply": "unavailable",
  "org.freedesktop.DBus.Error.Disconnected": "unavailable",
  "org.freedesktop.DBus.Error.LimitsExceeded": "resource-exhausted",
};

interface Pending {
  resolve(body: unknown[]): void;
  reject(error: GantryError): void;
  context: string;
  timer: NodeJS.Timeout;
}

export class BusConnection {
  readonly #connection: LibraryConnection;
  readonly #types: Library["messageType"];
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(message: BusMessage) => void>();
  #serial = 0;
  #closed: GantryError | undefined;
  /** Reasons to keep the process alive. */
  #holds = 0;

  private constructor(connection: LibraryConnection, types: Library["messageType"]) {
    this.#connection = connection;
    this.#types = types;
    connection.stream.unref();
    connection.on("message", (message: BusMessage) => this.#receive(message));
    connection.on("error", (error: unknown) => this.#end(errorMessage(error)));
    connection.stream.on("close", () => this.#end("the connection was closed"));
  }

  /** @throws GantryError unavailable, deadline-exceeded or permission-denied, naming the socket. */
  static async open(address: BusAddress, timeoutMs: number): Promise<BusConnection> {
    const module = (await import("@homebridge/dbus-native")) as unknown as { default: Library };
    const library = module.default;
    const raw = library.createConnection({
      socket: address.path,
      authMethods: ["EXTERNAL"],
      ReturnLongjs: true,
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (kind: ErrorKind, reason: string): void =>
      reject(new GantryError(kind, `systemd: connect to ${address.path}: ${reason}`));
    const timer = setTimeout(fail, timeoutMs, "deadline-exceeded", `no answer within ${timeoutMs} ms`);
    raw.once("connect", resolve);
    raw.on("error", (error: unknown) =>
      fail(errnoCode(error) === "EACCES" ? "permission-denied" : "unavailable", errorMessage(error).trim()),
    );
    raw.stream.once("close", () => fail("unavailable", "the connection was closed"));
    try {
      await promise;
      const connection = new BusConnection(raw, library.messageType);
      if (address.isBus) await connection.#enterBus(timeoutMs);
      return connection;
    } catch (error) {
      raw.stream.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Why nothing can be sent any more; undefined while it can. */
  get closed(): GantryError | undefined {
    return this.#closed;
  }

  /** @returns the reply's body. @throws GantryError with the peer's own words. */
  async call(message: BusMessage, timeoutMs: number): Promise<unknown[]> {
    if (this.#closed) throw this.#closed;
    const context = `systemd: ${message.member}`;
    const serial = ++this.#serial;
    const { promise, resolve, reject } = Promise.withResolvers<unknown[]>();
    const expire = (): void => {
      this.#pending.delete(serial);
      reject(new GantryError("deadline-exceeded", `${context}: no answer within ${timeoutMs} ms`));
    };
    this.#pending.set(serial, { resolve, reject, context, timer: setTimeout(expire, timeoutMs) });
    try {
      return await this.whileAwake(() => {
        this.#connection.message({ ...message, type: this.#types.methodCall, serial });
        return promise;
      });
    } finally {
      clearTimeout(this.#pending.get(serial)?.timer);
      this.#pending.delete(serial);
    }
  }

  /** Has the process live until the work is done. */
  async whileAwake<T>(work: () => Promise<T>): Promise<T> {
    if (this.#holds++ === 0) this.#connection.stream.ref();
    try {
      return await work();
    } finally {
      if (--this.#holds === 0) this.#connection.stream.unref();
    }
  }

  /** @returns what ends the listening. The listener also hears of the connection's end, as a message without type. */
  listen(listener: (message: BusMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#end("the connection was closed");
    this.#connection.stream.destroy();
  }

  /** A bus wants a greeting, and to be told which signals are wanted; systemd sends them to those that ask. */
  async #enterBus(timeoutMs: number): Promise<void> {
    const bus = {
      path: "/org/freedesktop/DBus",
      interface: "org.freedesktop.DBus",
      destination: "org.freedesktop.DBus",
    };
    const match =
      "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";
    await this.call({ ...bus, member: "Hello" }, timeoutMs);
    await this.call({ ...bus, member: "AddMatch", signature: "s", body: [match] }, timeoutMs);
    await this.call(
      {
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        destination: "org.freedesktop.systemd1",
        member: "Subscribe",
      },
      timeoutMs,
    );
  }

  #receive(message: BusMessage): void {
    if (message.type === this.#types.signal) {
      for (const listener of this.#listeners) listener(message);
      return;
    }
    const pending = this.#pending.get(message.replySerial ?? 0);
    if (!pending) return;
    this.#pending.delete(message.replySerial ?? 0);
    clearTimeout(pending.timer);
    if (message.type === this.#types.methodReturn) {
      pending.resolve(message.body ?? []);
      return;
    }
    const [text] = message.body ?? [];
    const reason = typeof text === "string" ? text : "";
    const kind = KIND_OF_ERROR[message.errorName ?? ""] ?? "internal";
    pending.reject(
      new GantryError(kind, `${pending.context}: ${reason.replace(/\.$/, "") || message.errorName}`),
    );
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = new GantryError("unavailable", `systemd: ${reason}`);
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(new GantryError("unavailable", `${pending.context}: ${reason}`));
    }
    this.#pending.clear();
    for (const listener of this.#listeners) listener({});
  }
}
