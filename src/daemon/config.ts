/**
 * Reads the configuration: one TOML file and the drop-ins beside it, merged in this order, each later one winning.
 *
 *   /etc/gantry/config.toml          need not exist, unless it was named with --config
 *   /etc/gantry/conf.d/*.toml        in the order of their names
 *   command line                     --root, --state, --listen, --log-level
 *
 * Tables merge key by key; everything else, lists included, is replaced. A key that does not exist or has a wrong
 * value is an error that names the file, the line and the key. See config-schema.ts for the settings.
 */
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse, TomlError, type TomlTable } from "smol-toml";
import * as v from "valibot";
import { errnoCode, errorMessage, GantryError } from "../base/errors.ts";
import { configSchema, type Config } from "./config-schema.ts";
import { locateTomlKeys, type KeyPath, type TomlLines } from "./toml-lines.ts";

export const DEFAULT_CONFIG_FILE = "/etc/gantry/config.toml";

/** What the command line may set. */
export interface ConfigOverrides {
  root?: string;
  state?: string;
  listen?: string;
  logLevel?: string;
}

export interface LoadedConfig {
  /** Complete: `listen` is never empty. */
  config: Config;
  /** The files that were read. */
  files: string[];
}

/** The built-in handler is there also when a file names others. */
const BUILT_IN: TomlTable = { runtimes: { gantry: {} } };

interface Source {
  /** The file, or "command line". */
  name: string;
  table: TomlTable;
  /** Undefined for the command line. */
  lines: TomlLines | undefined;
}

/**
 * @param file undefined for the default file, which need not exist.
 * @throws GantryError invalid-argument, one line for each complaint: `FILE:LINE: KEY: what is wrong`.
 */
export function loadConfig(file: string | undefined, overrides: ConfigOverrides = {}): LoadedConfig {
  const main = file ?? DEFAULT_CONFIG_FILE;
  const sources: Source[] = [];
  if (file !== undefined || exists(main)) sources.push(readSource(main));
  for (const dropIn of dropInsOf(main)) sources.push(readSource(dropIn));
  const files = sources.map((source) => source.name);
  sources.push({ name: "command line", table: overridesTable(overrides), lines: undefined });

  const complaints = sources.flatMap((source) => checkSource(source));
  const merged = sources.reduce<TomlTable>((sum, source) => mergeTables(sum, source.table), BUILT_IN);
  const result = v.safeParse(configSchema, merged);
  if (result.success) complaints.push(...checkTogether(result.output, sources));
  if (complaints.length > 0 || !result.success)
    throw new GantryError("invalid-argument", complaints.join("\n"));
  const config = result.output;
  if (config.listen === "") config.listen = `unix://${join(config.state, "gantry.sock")}`;
  return { config, files };
}

function exists(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch (error) {
    return errnoCode(error) !== "ENOENT";
  }
}

function dropInsOf(main: string): string[] {
  const directory = join(dirname(main), "conf.d");
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith(".toml"));
    return names.toSorted().map((name) => join(directory, name));
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return [];
    throw new GantryError("invalid-argument", `${directory}: ${errorMessage(error)}`, { cause: error });
  }
}

function readSource(name: string): Source {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(name));
  } catch (error) {
    throw new GantryError("invalid-argument", `${name}: ${errorMessage(error)}`, { cause: error });
  }
  try {
    return { name, table: parse(text), lines: locateTomlKeys(text) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n", 1)[0]?.replace(/^Invalid TOML document: /, "");
    throw new GantryError("invalid-argument", `${name}:${error.line}: ${reason}`, { cause: error });
  }
}

function overridesTable(overrides: ConfigOverrides): TomlTable {
  const { root, state, listen, logLevel } = overrides;
  return {
    ...(root !== undefined && { root }),
    ...(state !== undefined && { state }),
    ...(listen !== undefined && { listen }),
    ...(logLevel !== undefined && { log: { level: logLevel } }),
  };
}

/** Each file must be right by itself; every setting is optional, so that a part is as good as the whole. */
function checkSource(source: Source): string[] {
  const result = v.safeParse(configSchema, source.table);
  if (result.success) return [];
  return result.issues.map((issue) => {
    const path = (issue.path ?? []).map((item) => item.key as string | number);
    return complaint(
      source,
      path,
      issue.expected === "never" ? "unknown key" : describeIssue(issue.message, issue.input),
    );
  });
}

function describeIssue(message: string, input: unknown): string {
  const given = JSON.stringify(input, (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
  return `${message}, not ${given ?? typeof input}`;
}

/** What one file alone cannot show. */
function checkTogether(config: Config, sources: Source[]): string[] {
  const complaints: string[] = [];
  const blame = (path: KeyPath, what: string): void => {
    const source = sources.findLast((candidate) => hasKey(candidate.table, path));
    complaints.push(source ? complaint(source, path, what) : `${path.join(".")}: ${what}`);
  };
  if (config.runtimes[config.runtime.default_handler] === undefined) {
    blame(["runtime", "default_handler"], `there is no [runtimes.${config.runtime.default_handler}]`);
  }
  for (const [name, { type, binary }] of Object.entries(config.runtimes)) {
    if (type === "oci" && binary === "") blame(["runtimes", name, "type"], "needs a binary");
    if (type !== "oci" && binary !== "") blame(["runtimes", name, "binary"], 'needs type = "oci"');
  }
  const { tls, certificate_file, key_file } = config.streaming;
  if (tls === "files" && (certificate_file === "" || key_file === ""))
    blame(["streaming", "tls"], "needs certificate_file and key_file");
  if (config.root === config.state) blame(["state"], "must be another directory than root");
  return complaints;
}

function complaint(source: Source, path: KeyPath, what: string): string {
  const where = source.lines ? `${source.name}:${source.lines.lineOf(path)}` : source.name;
  return `${where}: ${path.join(".")}: ${what}`;
}

function isTable(value: unknown): value is TomlTable {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function hasKey(table: TomlTable, path: KeyPath): boolean {
  let value: unknown = table;
  for (const key of path) {
    if (!isTable(value) || !Object.hasOwn(value, key)) return false;
    value = value[key];
  }
  return true;
}

function mergeTables(under: TomlTable, over: TomlTable): TomlTable {
  const merged: TomlTable = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = Object.hasOwn(merged, key) ? merged[key] : undefined;
    merged[key] = isTable(below) && isTable(value) ? mergeTables(below, value) : value;
  }
  return merged;
}
