/**
 * The record store: small JSON records in named tables of one embedded transactional database (node:sqlite).
 *
 *   root/images.db      layers, snapshots, images      durability "power-loss": synchronous = FULL
 *   root/containers.db  podSandboxes, containers, …    durability "crash":      synchronous = OFF, no fsync
 *
 *   table NAME ( id TEXT PRIMARY KEY, record TEXT )     one row a record, JSON
 *   meta       ( version )                              refuses a file of a later schema
 *
 * Calls are synchronous and short (tens of microseconds): a record is small, and a list is read once at start.
 * It is not for blobs, and knows nothing of what a record means.
 */
import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { GantryError } from "../base/errors.ts";
import { Room } from "./room.ts";

const SCHEMA_VERSION = 1;

export interface RecordTable<T> {
  get(id: string): T | undefined;
  /** Inserts or replaces. */
  put(id: string, record: T): void;
  /** Deleting what is not there is no error. */
  delete(id: string): void;
  list(): { id: string; record: T }[];
}

export interface RecordStore {
  /** The table of that name ([a-z_] only), created at the first use. The caller vouches for the type. */
  table<T>(name: string): RecordTable<T>;
  /**
   * All writes of the synchronous work become visible and durable together, or none of them. The work is done again
   * when the disk was full and room could be made.
   */
  transaction<T>(work: () => T): T;
  close(): void;
}

class SqliteTable<T> implements RecordTable<T> {
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #list: StatementSync;
  readonly #write: (work: () => unknown) => void;

  /** @param write does a single write. */
  constructor(db: DatabaseSync, name: string, write: (work: () => unknown) => void) {
    this.#write = write;
    write(() =>
      db.exec(`CREATE TABLE IF NOT EXISTS ${name} (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID`),
    );
    this.#get = db.prepare(`SELECT record FROM ${name} WHERE id = ?`);
    this.#put = db.prepare(`INSERT OR REPLACE INTO ${name} (id, record) VALUES (?, ?)`);
    this.#delete = db.prepare(`DELETE FROM ${name} WHERE id = ?`);
    this.#list = db.prepare(`SELECT id, record FROM ${name} ORDER BY id`);
  }

  get(id: string): T | undefined {
    const row = this.#get.get(id);
    return row ? (decode(String(row["record"])) as T) : undefined;
  }

  put(id: string, record: T): void {
    const text = encode(record);
    this.#write(() => this.#put.run(id, text));
  }

  delete(id: string): void {
    this.#write(() => this.#delete.run(id));
  }

  list(): { id: string; record: T }[] {
    return this.#list.all().map((row) => ({
      id: String(row["id"]),
      record: decode(String(row["record"])) as T,
    }));
  }
}

/**
 * JSON, with two forms of its own. A record may hold text from outside (an image's labels), so whatever looks like one
 * of them is written as the second:
 *
 *   12n                          { "$bigint": "12" }
 *   an object that has "$bigint" { "$bigint": [[KEY, VALUE], …] }
 */
function encode(record: unknown): string {
  return JSON.stringify(record, (_key, value: unknown) => {
    if (typeof value === "bigint") return { $bigint: String(value) };
    return isMarked(value) ? { $bigint: Object.entries(value) } : value;
  });
}

function decode(text: string): unknown {
  if (!text.includes('"$bigint"')) return JSON.parse(text);
  return JSON.parse(text, (_key, value: unknown) => {
    if (!isMarked(value)) return value;
    const { $bigint: content } = value;
    return typeof content === "string"
      ? BigInt(content)
      : Object.fromEntries(content as [key: string, value: unknown][]);
  });
}

function isMarked(value: unknown): value is { $bigint: unknown } {
  return value !== null && typeof value === "object" && Object.hasOwn(value, "$bigint");
}

/**
 * Opens or creates the database file, mode 0600.
 *
 * @param durability "power-loss": a committed transaction survives one. "crash": it survives the death of the
 *   process, at no cost in fsync.
 */
export function openRecordStore(path: string, durability: "power-loss" | "crash"): RecordStore {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // SQLite gives its side files the mode of the database file.
  closeSync(openSync(path, constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW, 0o600));
  const db = new DatabaseSync(path);
  const room = new Room(path);
  try {
    room.write(db, () => prepare(db, path, durability));
  } catch (error) {
    db.close();
    throw error;
  }
  const tables = new Map<string, SqliteTable<unknown>>();
  let depth = 0;
  const transaction = <T>(work: () => T): T => {
    db.exec("BEGIN IMMEDIATE");
    depth += 1;
    try {
      const result = work();
      db.exec("COMMIT");
      return result;
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw error;
    } finally {
      depth -= 1;
    }
  };
  const write = (work: () => unknown): void => void (depth > 0 ? work() : room.write(db, work));
  return {
    table<T>(name: string): RecordTable<T> {
      if (!/^[a-z_]+$/.test(name)) throw new GantryError("internal", `bad table name "${name}"`);
      let table = tables.get(name);
      if (!table) tables.set(name, (table = new SqliteTable<unknown>(db, name, write)));
      return table as RecordTable<T>;
    },
    transaction: <T>(work: () => T): T => (depth > 0 ? work() : room.write(db, () => transaction(work))),
    close: () => db.close(),
  };
}

function prepare(db: DatabaseSync, path: string, durability: "power-loss" | "crash"): void {
  db.exec("PRAGMA journal_mode = WAL");
  db.exec(`PRAGMA synchronous = ${durability === "power-loss" ? "FULL" : "OFF"}`);
  const version = Number(db.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
  if (version > SCHEMA_VERSION) {
    throw new GantryError(
      "failed-precondition",
      `${path}: schema version ${version} is newer than this gantryd's ${SCHEMA_VERSION}`,
    );
  }
  if (version < SCHEMA_VERSION) db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
}
