/**
 * Units of systemd: starting transient ones, changing their properties, stopping them. A call resolves when the job that
 * systemd makes of it is done, which the signal JobRemoved tells.
 *
 *   StartTransientUnit ──▶ job path ── … ──▶ JobRemoved(job, unit, "done" | "failed" | "timeout" | …)
 *
 * One connection serves all calls, opened with the first and again after it has ended: systemd closes it when it
 * executes itself anew. A call that the end of a connection cut off is made again where that does no harm.
 */
import { errorKind, GantryError, wrapError } from "../base/errors.ts";
import { BusConnection, type BusAddress, type BusMessage } from "./systemd-bus.ts";

/** A name, and the value with its D-Bus signature. */
export type UnitProperty = readonly [name: string, value: readonly [signature: string, value: unknown]];

export interface SystemdUnits {
  /**
   * Starts a transient unit and waits until it has started.
   * @throws GantryError already-exists, invalid-argument, unavailable, deadline-exceeded.
   */
  start(unit: string, properties: readonly UnitProperty[]): Promise<void>;
  /** Stops the unit, if there is one, and waits until it has stopped; a failed one is forgotten. */
  stop(unit: string, timeoutMs?: number): Promise<void>;
  /** All or none of them, until the unit ends. @throws GantryError not-found, invalid-argument. */
  change(unit: string, properties: readonly UnitProperty[]): Promise<void>;
  /** The present values of those properties that systemd knows, ready to be given to `change`. */
  read(unit: string, names: readonly string[]): Promise<UnitProperty[]>;
  /** "252". Of the running systemd. */
  version(): Promise<number>;
  close(): void;
}

export interface SystemdUnitsOptions {
  /** Tried in order; systemd's own socket and then the system bus unless given. */
  addresses?: readonly BusAddress[];
  connectTimeoutMs?: number;
  replyTimeoutMs?: number;
  jobTimeoutMs?: number;
}

const MANAGER = {
  path: "/org/freedesktop/systemd1",
  interface: "org.freedesktop.systemd1.Manager",
  destination: "org.freedesktop.systemd1",
};
const PROPERTIES = "org.freedesktop.DBus.Properties";

export function createSystemdUnits(options: SystemdUnitsOptions = {}): SystemdUnits {
  return new Units(options);
}

function defaultAddresses(): BusAddress[] {
  const given = /^unix:path=([^,;]+)/.exec(process.env["DBUS_SYSTEM_BUS_ADDRESS"] ?? "")?.[1];
  return [
    { path: "/run/systemd/private", isBus: false },
    { path: given ?? "/run/dbus/system_bus_socket", isBus: true },
  ];
}

class Units implements SystemdUnits {
  readonly #addresses: readonly BusAddress[];
  readonly #connectTimeoutMs: number;
  readonly #replyTimeoutMs: number;
  readonly #jobTimeoutMs: number;
  #connection: Promise<BusConnection> | undefined;
  #version: number | undefined;

  constructor(options: SystemdUnitsOptions) {
    this.#addresses = options.addresses ?? defaultAddresses();
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
    this.#replyTimeoutMs = options.replyTimeoutMs ?? 15_000;
    this.#jobTimeoutMs = options.jobTimeoutMs ?? 30_000;
  }

  async start(unit: string, properties: readonly UnitProperty[]): Promise<void> {
    const connection = await this.#connect();
    const body = [unit, "fail", properties, []];
    await this.#job(connection, unit, { member: "StartTransientUnit", signature: "ssa(sv)a(sa(sv))", body });
  }

  async stop(unit: string, timeoutMs = this.#jobTimeoutMs): Promise<void> {
    try {
      await this.#again((connection) =>
        this.#job(
          connection,
          unit,
          { member: "StopUnit", signature: "ss", body: [unit, "replace"] },
          timeoutMs,
        ),
      );
      await this.#again((connection) =>
        this.#call(
          connection,
          unit,
          { member: "ResetFailedUnit", signature: "s", body: [unit] },
          Math.min(timeoutMs, this.#replyTimeoutMs),
        ),
      );
    } catch (error) {
      if (errorKind(error) !== "not-found") throw error;
    }
  }

  async change(unit: string, properties: readonly UnitProperty[]): Promise<void> {
    if (properties.length === 0) return;
    const body = [unit, true, properties];
    await this.#again((connection) =>
      this.#call(connection, unit, { member: "SetUnitProperties", signature: "sba(sv)", body }),
    );
  }

  async read(unit: string, names: readonly string[]): Promise<UnitProperty[]> {
    if (names.length === 0) return [];
    const type = unit.endsWith(".slice") ? "Slice" : "Scope";
    const [all] = await this.#again((connection) =>
      this.#call(connection, unit, {
        path: unitPath(unit),
        interface: PROPERTIES,
        member: "GetAll",
        signature: "s",
        body: [`org.freedesktop.systemd1.${type}`],
      }),
    );
    const wanted = new Set(names);
    return (all as [string, ReadVariant][])
      .filter(([name]) => wanted.has(name))
      .map(([name, [tree, [value]]]) => [name, [signatureOf(tree), writable(value)]]);
  }

  async version(): Promise<number> {
    if (this.#version !== undefined) return this.#version;
    const [variant] = await this.#again((connection) =>
      this.#call(connection, "systemd", {
        interface: PROPERTIES,
        member: "Get",
        signature: "ss",
        body: [MANAGER.interface, "Version"],
      }),
    );
    const text = String((variant as ReadVariant)[1][0]);
    this.#version = Number(/\d+/.exec(text)?.[0] ?? 0);
    return this.#version;
  }

  close(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.then(
      (open) => open.close(),
      () => undefined,
    );
  }

  /** @throws GantryError unavailable, naming each socket that was tried. */
  async #connect(): Promise<BusConnection> {
    const last = this.#connection;
    const known = await last?.catch(() => undefined);
    if (known && !known.closed) return known;
    // Of calls that come together, the first opens for all: one that nobody keeps would never be closed.
    if (this.#connection === last) this.#connection = undefined;
    return await (this.#connection ??= this.#open());
  }

  async #open(): Promise<BusConnection> {
    const failures: string[] = [];
    for (const address of this.#addresses) {
      try {
        return await BusConnection.open(address, this.#connectTimeoutMs);
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
        // A systemd that does not answer on one socket does not on the other.
        if (errorKind(error) === "deadline-exceeded") break;
      }
    }
    throw new GantryError("unavailable", failures.join("; "));
  }

  /** Once more on a new connection where the first one ended before the answer. For what may be done twice. */
  async #again<T>(work: (connection: BusConnection) => Promise<T>): Promise<T> {
    const first = await this.#connect();
    try {
      return await work(first);
    } catch (error) {
      if (!first.closed) throw error;
      return await work(await this.#connect());
    }
  }

  async #call(
    connection: BusConnection,
    unit: string,
    message: BusMessage,
    timeoutMs = this.#replyTimeoutMs,
  ): Promise<unknown[]> {
    try {
      return await connection.call({ ...MANAGER, ...message }, timeoutMs);
    } catch (error) {
      throw wrapError(`unit ${unit}`, error);
    }
  }

  /** Makes the call and waits for its job to end. The signal may come before the answer. */
  async #job(
    connection: BusConnection,
    unit: string,
    message: BusMessage,
    timeoutMs = this.#jobTimeoutMs,
  ): Promise<void> {
    const results = new Map<string, string>();
    const { promise: heard, resolve, reject } = Promise.withResolvers<string>();
    heard.catch(() => undefined);
    let job: string | undefined;
    const fail = (kind: "unavailable" | "deadline-exceeded", reason: string): void =>
      reject(new GantryError(kind, `unit ${unit}: systemd: ${message.member}: ${reason}`));
    const stopListening = connection.listen((signal) => {
      if (signal.type === undefined) fail("unavailable", "the connection was closed");
      if (signal.member !== "JobRemoved") return;
      const [, path, name, result] = signal.body as [number, string, string, string];
      if (name !== unit) return;
      results.set(path, result);
      if (path === job) resolve(result);
    });
    const timer = setTimeout(
      fail,
      timeoutMs,
      "deadline-exceeded",
      `the job was not done within ${timeoutMs} ms`,
    );
    try {
      const result = await connection.whileAwake(async () => {
        const reply = await this.#call(connection, unit, message, Math.min(timeoutMs, this.#replyTimeoutMs));
        job = reply[0] as string;
        return results.get(job) ?? (await heard);
      });
      if (result !== "done" && result !== "skipped")
        throw new GantryError("failed-precondition", `unit ${unit}: systemd: ${message.member}: ${result}`);
    } finally {
      clearTimeout(timer);
      stopListening();
    }
  }
}

/** As the library reads a variant: the parsed signature, and the value in a list. */
type ReadVariant = [tree: Signature[], value: [unknown]];
interface Signature {
  type: string;
  child: Signature[];
}

function signatureOf(trees: readonly Signature[]): string {
  return trees
    .map(({ type, child }) => {
      const inner = signatureOf(child);
      if (type === "(") return `(${inner})`;
      return type === "{" ? `{${inner}}` : `${type}${inner}`;
    })
    .join("");
}

/** A value as it was read in the form in which it is written: 64-bit numbers as decimal text. */
function writable(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(writable);
  return isLong(value) ? value.toString() : value;
}

/** The library's numbers of 64 bits. */
function isLong(value: unknown): value is { toString(): string } {
  return typeof value === "object" && value !== null && "low" in value && "high" in value;
}

/** The object of a unit: what is no letter or digit in its name is written as its code. */
function unitPath(unit: string): string {
  const escaped = unit.replace(
    /[^A-Za-z0-9]/g,
    (character) => `_${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `/org/freedesktop/systemd1/unit/${escaped}`;
}
