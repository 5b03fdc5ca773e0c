/** What every command of gantry-oci gets from the global options, and how it reports. */
import { appendFileSync } from "node:fs";
import { getSystemErrorMap } from "node:util";
import { errorMessage } from "../../base/errors.ts";
import { printError } from "./output.ts";

const MAX_MESSAGE = 1000;

export interface CommandContext {
  /** Absolute directory of the containers' state. */
  root: string;
  log: CommandLog;
  /** Control groups are made by systemd. */
  systemdCgroup: boolean;
}

/** Log lines as other runtimes write them, so that engines find the last error in the file. */
export class CommandLog {
  readonly #path: string | undefined;
  readonly #format: "text" | "json";
  readonly #debug: boolean;

  /** @param path appended to; undefined: standard error. */
  constructor(path: string | undefined, format: "text" | "json", debug: boolean) {
    this.#path = path;
    this.#format = format;
    this.#debug = debug;
  }

  debug(message: string): void {
    if (this.#debug) this.#write("debug", message);
  }

  warn(message: string): void {
    this.#write("warning", message);
  }

  /** Also to standard error, as it is, where the log is a file. */
  error(error: unknown): void {
    const message = shortened(inWords(errorMessage(error)));
    this.#write("error", message);
    if (this.#path !== undefined) printError(`${message}\n`);
  }

  #write(level: string, message: string): void {
    const time = new Date().toISOString().replace(/\.\d+Z$/, "Z");
    const line =
      this.#format === "json"
        ? JSON.stringify({ level, msg: message, time })
        : `time="${time}" level=${level} msg=${JSON.stringify(message)}`;
    if (this.#path === undefined) printError(`${line}\n`);
    else appendFileSync(this.#path, `${line}\n`, { mode: 0o600 });
  }
}

/** A path may be long; who reads the log wants its beginning, and the reason at the end. */
function shortened(message: string): string {
  return message.length <= MAX_MESSAGE
    ? message
    : `${message.slice(0, MAX_MESSAGE / 2)}…${message.slice(-MAX_MESSAGE / 2)}`;
}

/**
 * An errno's name at the end of a message as its text: engines look for "no such file or directory" and "permission
 * denied" when they choose an exit status.
 */
function inWords(message: string): string {
  return message.replace(/(?<=: )E[A-Z0-9]+$/, (name) => {
    for (const [, [known, text]] of getSystemErrorMap()) if (known === name) return text;
    return name;
  });
}
