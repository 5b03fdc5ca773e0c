/**
 * A systemd for tests: a socket at which units are started and stopped as at systemd's own, with the replies and signals
 * of the real one, and its failings on demand.
 */
import { createRequire } from "node:module";
import { createServer, type Server, type Socket } from "node:net";
import type { BusMessage } from "./systemd-bus.ts";

interface Wire {
  marshall(message: BusMessage): Buffer;
  unmarshalMessages(stream: Socket, onMessage: (message: BusMessage) => void, options: object): void;
}
const wire = createRequire(import.meta.url)("@homebridge/dbus-native/lib/message.js") as Wire;

const REPLY = 2;
const ERROR = 3;
const SIGNAL = 4;

export class FakeSystemd {
  /** Property values as they were given, by unit. */
  readonly units = new Map<string, Map<string, [string, unknown]>>();
  /** "StartTransientUnit a.scope", in order. */
  readonly calls: string[] = [];
  /** Of the next jobs; "done" when there are none. */
  readonly results: string[] = [];
  /** Members that are not answered. */
  readonly silent = new Set<string>();
  /** Members at which the connection is closed, once. */
  readonly hangUpAt = new Set<string>();
  /** As the latter, after the work is done. */
  readonly hangUpAfter = new Set<string>();
  /** Errors by member. */
  readonly refuse = new Map<string, [name: string, text: string]>();
  /** The signal of a job's end goes out before the answer that names the job. */
  signalFirst = false;
  onStart: (unit: string, properties: Map<string, [string, unknown]>) => void = () => undefined;
  connections = 0;
  #serial = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor(path: string, options: { mute?: boolean } = {}) {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => undefined);
      if (!options.mute) this.#greet(socket);
    });
    this.#server.listen(path);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #greet(socket: Socket): void {
    let text = "";
    const read = (): void => {
      for (let byte = socket.read(1) as Buffer | null; byte; byte = socket.read(1) as Buffer | null) {
        text += byte.toString("latin1");
        if (!text.endsWith("\r\n")) continue;
        if (text.includes("AUTH EXTERNAL")) socket.write("OK 0123456789abcdef\r\n");
        const begin = text.includes("BEGIN");
        text = "";
        if (!begin) continue;
        wire.unmarshalMessages(socket, (message) => this.#receive(socket, message), { ReturnLongjs: true });
        socket.removeListener("readable", read);
        // The first message may have come with the greeting.
        socket.emit("readable");
        return;
      }
    };
    socket.on("readable", read);
  }

  #send(socket: Socket, message: BusMessage): void {
    socket.write(wire.marshall({ ...message, serial: ++this.#serial }));
  }

  #receive(socket: Socket, message: BusMessage): void {
    const member = message.member ?? "";
    const [first] = message.body ?? [];
    this.calls.push(`${member} ${typeof first === "string" ? first : ""}`.trim());
    const { serial } = message;
    const reply = (signature?: string, body?: unknown[]): void =>
      this.#send(socket, {
        type: REPLY,
        ...(serial !== undefined && { replySerial: serial }),
        ...(signature !== undefined && { signature }),
        ...(body && { body }),
      });
    const refuse = (name: string, text: string): void =>
      this.#send(socket, {
        type: ERROR,
        ...(serial !== undefined && { replySerial: serial }),
        errorName: name,
        signature: "s",
        body: [text],
      });
    if (this.hangUpAt.delete(member)) return void socket.destroy();
    if (this.silent.has(member)) return;
    const refusal = this.refuse.get(member);
    if (refusal) return refuse(...refusal);
    const body = message.body ?? [];
    const unit = String(first);
    const known = this.units.get(unit);
    const noUnit = (): void => refuse("org.freedesktop.systemd1.NoSuchUnit", `Unit ${unit} not loaded.`);
    switch (member) {
      case "StartTransientUnit": {
        if (known)
          return refuse(
            "org.freedesktop.systemd1.UnitExists",
            `Unit ${unit} was already loaded or has a fragment file.`,
          );
        const properties = new Map(body[2] as [string, [string, unknown]][]);
        const result = this.results.shift() ?? "done";
        const read = readable(properties);
        if (result === "done") this.units.set(unit, read);
        if (result === "done") this.onStart(unit, read);
        return this.#job(socket, member, unit, result, reply);
      }
      case "StopUnit":
        if (!this.units.delete(unit)) return noUnit();
        return this.#job(socket, member, unit, this.results.shift() ?? "done", reply);
      case "SetUnitProperties":
        if (!known) return noUnit();
        for (const [name, value] of readable(new Map(body[2] as [string, [string, unknown]][])))
          known.set(name, value);
        return reply();
      case "GetAll": {
        const name = [...this.units.keys()].find((each) => message.path?.endsWith(escape(each)));
        const properties = name === undefined ? undefined : this.units.get(name);
        return properties ? reply("a{sv}", [[...properties]]) : noUnit();
      }
      case "Get":
        return reply("v", [["s", "252 (fake)"]]);
      case "ResetFailedUnit":
        return noUnit();
      default:
        return reply();
    }
  }

  #job(
    socket: Socket,
    member: string,
    unit: string,
    result: string,
    reply: (s: string, b: unknown[]) => void,
  ): void {
    const path = `/org/freedesktop/systemd1/job/${++this.#serial}`;
    const signal = (): void =>
      this.#send(socket, {
        type: SIGNAL,
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: "JobRemoved",
        signature: "uoss",
        body: [this.#serial, path, unit, result],
      });
    if (this.hangUpAfter.delete(member)) return void socket.destroy();
    if (this.signalFirst) signal();
    reply("o", [path]);
    if (!this.signalFirst && !this.silent.has("JobRemoved")) setImmediate(signal);
  }
}

/** What was read of the wire, as it is written again. */
function readable(properties: Map<string, [unknown, unknown]>): Map<string, [string, unknown]> {
  const result = new Map<string, [string, unknown]>();
  for (const [name, [tree, [value]]] of properties as Map<string, [{ type: string }[], [unknown]]>) {
    const type = tree[0]?.type ?? "";
    const signature =
      type !== "a" ? type : value instanceof Uint8Array ? "ay" : name === "PIDs" ? "au" : "a(ss)";
    const plain = value instanceof Uint8Array ? [...value] : type === "t" ? String(value) : value;
    result.set(name, [signature, plain]);
  }
  return result;
}

const escape = (unit: string): string =>
  unit.replace(/[^A-Za-z0-9]/g, (character) => `_${character.charCodeAt(0).toString(16)}`);
