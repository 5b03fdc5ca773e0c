/** What a runc-compatible program has said of its failure, out of its log file or its standard error. */
import { open } from "node:fs/promises";

const LOG_LIMIT_BYTES = 64 * 1024;
const MESSAGE_LIMIT = 1024;
const GRAVE = new Set(["error", "fatal", "panic"]);

/**
 * The last error of a log in JSON or in the form of logrus, else the last line of plain text; undefined where nothing
 * was said. One line, without control characters, at most 1024 characters.
 */
export function runtimeMessage(text: string): string | undefined {
  let plain: string | undefined;
  let grave: string | undefined;
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const entry = jsonEntry(line) ?? logrusEntry(line);
    if (!entry) plain = line;
    else if (GRAVE.has(entry.level)) grave = entry.message;
  }
  const said = grave ?? plain;
  if (said === undefined) return undefined;
  const clean = said.replace(/\p{Cc}+/gu, " ").trim();
  return clean.length > MESSAGE_LIMIT ? `${clean.slice(0, MESSAGE_LIMIT)}…` : clean;
}

interface Entry {
  level: string;
  message: string;
}

function jsonEntry(line: string): Entry | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const value = JSON.parse(line) as { level?: unknown; msg?: unknown };
    // crun has not always told a level.
    const level = typeof value.level === "string" ? value.level : "error";
    return typeof value.msg === "string" ? { level, message: value.msg } : undefined;
  } catch {
    return undefined;
  }
}

function logrusEntry(line: string): Entry | undefined {
  const match = /^time="[^"]*" level=(\w+) msg=(?:"((?:[^"\\]|\\.)*)"|(\S*))/.exec(line);
  if (!match) return undefined;
  const message = match[2] === undefined ? (match[3] ?? "") : match[2].replace(/\\(.)/g, "$1");
  return { level: match[1] ?? "", message };
}

/** As runtimeMessage, from the end of a file; undefined where there is none. */
export async function runtimeLogMessage(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(size, LOG_LIMIT_BYTES));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, Math.max(0, size - buffer.length));
    return runtimeMessage(buffer.subarray(0, bytesRead).toString("utf8"));
  } catch {
    return undefined;
  }
}
