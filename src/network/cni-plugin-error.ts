/**
 * What a CNI plugin says when it fails, as our error (specification 1.1, section 5, "Error"). It writes an object to
 * its standard output; one that does not is quoted from its standard error.
 */
import { GantryError, type ErrorKind } from "../base/errors.ts";
import { isJsonObject, type JsonObject } from "./json-value.ts";

const TEXT_LIMIT = 2048;

/** Codes of the specification; the others are a plugin's own. */
const KINDS: Readonly<Record<number, ErrorKind>> = {
  1: "failed-precondition", // incompatible version
  2: "failed-precondition", // unsupported field in the configuration
  4: "failed-precondition", // invalid environment
  6: "failed-precondition", // it cannot decode the configuration
  7: "failed-precondition", // invalid network configuration
};

/** A plugin's own refusal, with its code. */
export class CniPluginError extends GantryError {
  /** Undefined where the plugin gave none. */
  readonly code: number | undefined;

  constructor(kind: ErrorKind, message: string, code: number | undefined) {
    super(kind, message);
    this.name = "CniPluginError";
    this.code = code;
  }
}

export interface PluginOutput {
  stdout: string;
  stderr: string;
  /** "exit code 1", "SIGSEGV". */
  end: string;
}

/** @param what names plugin and command: `CNI plugin "portmap": ADD`. */
export function pluginError(what: string, { stdout, stderr, end }: PluginOutput): CniPluginError {
  const told = parse(stdout);
  if (!told) {
    const said = clip(stderr.trim() || stdout.trim());
    return new CniPluginError(
      "unavailable",
      `${what} failed: ${said === "" ? end : `${said} (${end})`}`,
      undefined,
    );
  }
  const code = typeof told["code"] === "number" ? told["code"] : undefined;
  const details = clip(told["details"]);
  const message = `${clip(told["msg"]) || end}${details === "" ? "" : `: ${details}`}`;
  const suffix = code === undefined ? "" : ` (code ${code})`;
  return new CniPluginError(KINDS[code ?? 0] ?? "unavailable", `${what} failed: ${message}${suffix}`, code);
}

function parse(stdout: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(stdout);
    return isJsonObject(value) && ("msg" in value || "code" in value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function clip(value: unknown): string {
  const text = typeof value === "string" ? value : "";
  return text.length > TEXT_LIMIT ? `${text.slice(0, TEXT_LIMIT)}…` : text;
}
