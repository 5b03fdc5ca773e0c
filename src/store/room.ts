/**
 * Writing to a database on a disk that is full. What frees the disk is removals, and a removal is a write, too: without
 * room for it nothing could ever be removed again.
 *
 *   full ──▶ let the write-ahead log begin anew in its blocks ──▶ full ──▶ give up the reserve, the same ──▶ full
 *
 * The reserve is a file that stands for its blocks alone. It is made again once there is room.
 */
import { randomBytes } from "node:crypto";
import { closeSync, constants, openSync, statSync, unlinkSync, writeSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { errnoCode, GantryError } from "../base/errors.ts";

/** As much as the log may hold that the database has no blocks for yet: it is moved there at 1000 pages. */
const RESERVE_BYTES = 4 * 1024 * 1024;
/** How long a lost reserve stays lost at least: trying again costs its writing. */
const RESTORE_MS = 10_000;

/** Primary result codes of sqlite3.h: an I/O error (of the shared memory file, for one), full, no file to be had. */
const SQLITE_IOERR = 10;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;

export class Room {
  readonly #database: string;
  readonly #reserve: string;
  #restoreAt = 0;
  #lost = true;

  /** @param database the path of its file; the reserve is beside it. */
  constructor(database: string) {
    this.#database = database;
    this.#reserve = `${database}-reserve`;
    try {
      this.#lost = statSync(this.#reserve).size !== RESERVE_BYTES;
    } catch {
      // Made with the first write.
    }
  }

  /**
   * Does the work, a write of its own that is all or nothing, and again when the disk was full and room could be made.
   *
   * @throws GantryError resource-exhausted when none could.
   */
  write<T>(db: DatabaseSync, work: () => T): T {
    let failure: unknown;
    for (const step of ["try", "restart log", "give up reserve"] as const) {
      if (step === "give up reserve") this.#release();
      if (step !== "try") restartLog(db);
      try {
        const result = work();
        this.#restore();
        return result;
      } catch (error) {
        if (!isShortOfRoom(error)) throw error;
        failure = error;
      }
    }
    throw new GantryError("resource-exhausted", `${this.#database}: no room to write`, { cause: failure });
  }

  #release(): void {
    try {
      unlinkSync(this.#reserve);
    } catch (error) {
      if (errnoCode(error) !== "ENOENT") throw error;
    }
    this.#lost = true;
    this.#restoreAt = performance.now() + RESTORE_MS;
  }

  #restore(): void {
    if (!this.#lost || performance.now() < this.#restoreAt) return;
    this.#restoreAt = performance.now() + RESTORE_MS;
    try {
      const { O_CREAT, O_TRUNC, O_WRONLY, O_NOFOLLOW } = constants;
      const file = openSync(this.#reserve, O_CREAT | O_TRUNC | O_WRONLY | O_NOFOLLOW, 0o600);
      try {
        // Nothing that a filesystem could compress away.
        const bytes = randomBytes(RESERVE_BYTES);
        this.#lost = writeSync(file, bytes) !== bytes.length;
      } finally {
        closeSync(file);
      }
    } catch {
      // Later, when there is room.
    }
  }
}

/** Moves what the log holds into the database's own blocks, where it fits. */
function restartLog(db: DatabaseSync): void {
  try {
    db.exec("PRAGMA wal_checkpoint(RESTART)");
  } catch (error) {
    if (!isShortOfRoom(error)) throw error;
  }
}

function isShortOfRoom(error: unknown): boolean {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return false;
  return [SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN].includes(error.errcode & 0xff);
}
