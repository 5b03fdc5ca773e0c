/** The two records that a shim leaves in its directory, as protocol.ts lays them out. */
import { renameSync, writeFileSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoCode, GantryError } from "../base/errors.ts";
import { RECORD_TABLE } from "./protocol.ts";
import type { ExitRecord } from "./shim.ts";

/** Who a shim and its container are: pids with the start times that tell a reused pid. Zero: not there yet. */
export interface PidRecord {
  shimPid: number;
  shimStartTime: number;
  initPid: number;
  initStartTime: number;
}

function parse(name: keyof typeof RECORD_TABLE, bytes: Buffer): Map<string, bigint> {
  const { fields, magic } = RECORD_TABLE[name];
  const values = new Map<string, bigint>();
  let at = 0;
  for (const [field, kind] of fields) {
    const width = kind === "u32" ? 4 : 8;
    if (bytes.length < at + width)
      throw new GantryError("data-loss", `${name} record: only ${bytes.length} bytes`);
    values.set(field, kind === "u32" ? BigInt(bytes.readUInt32LE(at)) : bytes.readBigUInt64LE(at));
    at += width;
  }
  if (values.get("magic") !== BigInt(magic))
    throw new GantryError("data-loss", `${name} record: wrong magic number`);
  return values;
}

/** @throws GantryError data-loss. Bytes after the known fields are a later version's and are ignored. */
export function parseExitRecord(bytes: Buffer): ExitRecord {
  const values = parse("exit", bytes);
  return {
    exitCode: Number(values.get("exit_code")),
    signal: Number(values.get("signal")),
    exitedAtNs: values.get("exited_at_ns") ?? 0n,
    oomKilled: values.get("oom_killed") === 1n,
    shimLost: false,
  };
}

/** @throws GantryError data-loss. */
export function parsePidRecord(bytes: Buffer): PidRecord {
  const values = parse("pid", bytes);
  return {
    shimPid: Number(values.get("shim_pid")),
    shimStartTime: Number(values.get("shim_start_time")),
    initPid: Number(values.get("init_pid")),
    initStartTime: Number(values.get("init_start_time")),
  };
}

function encode(name: keyof typeof RECORD_TABLE, values: Readonly<Record<string, number>>): Buffer {
  const { fields, magic } = RECORD_TABLE[name];
  const known: Readonly<Record<string, number>> = { ...values, magic, version: 1 };
  const parts = fields.map(([field, kind]) => {
    const bytes = Buffer.alloc(kind === "u32" ? 4 : 8);
    if (kind === "u32") bytes.writeUInt32LE(known[field] ?? 0);
    else bytes.writeBigUInt64LE(BigInt(known[field] ?? 0));
    return bytes;
  });
  return Buffer.concat(parts);
}

/**
 * The first pid record of a shim, before it is told what to launch: from then on a daemon that comes after this one
 * knows whom to ask or to kill. The shim replaces it with its own.
 */
export function writePidRecord(directory: string, pids: PidRecord): void {
  const bytes = encode("pid", {
    shim_pid: pids.shimPid,
    init_pid: pids.initPid,
    shim_start_time: pids.shimStartTime,
    init_start_time: pids.initStartTime,
  });
  writeFileSync(join(directory, "pid.new"), bytes, { flag: "wx", mode: 0o600 });
  renameSync(join(directory, "pid.new"), join(directory, "pid"));
}

/** When the shim wrote who its container is, just after the launch: nanoseconds since the epoch, 0 without a record. */
export async function launchTimeNs(directory: string): Promise<bigint> {
  try {
    return (await stat(join(directory, "pid"), { bigint: true })).mtimeNs;
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return 0n;
    throw error;
  }
}

async function readRecord<T>(path: string, parseBytes: (bytes: Buffer) => T): Promise<T | undefined> {
  try {
    return parseBytes(await readFile(path));
  } catch (error) {
    const code = errnoCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Undefined where there is none: the container has not exited, or its shim was lost. */
export function readExitRecord(directory: string): Promise<ExitRecord | undefined> {
  return readRecord(join(directory, "exit"), parseExitRecord);
}

/** Undefined where the shim has not come so far. */
export function readPidRecord(directory: string): Promise<PidRecord | undefined> {
  return readRecord(join(directory, "pid"), parsePidRecord);
}
