/**
 * One network configuration of CNI: the text of a file as what the chain runs (specification 1.1, section 1).
 *
 *   NAME.conflist              a list: name, cniVersion(s), disableCheck, disableGC, plugins, …
 *   NAME.conf, NAME.json       one plugin, the older form: taken as a list of it alone
 *
 * `text` is the list as it is kept for later calls; it stands for itself, whatever becomes of the files.
 */
import { errorMessage, GantryError } from "../base/errors.ts";
import { CNI_LATEST, CNI_OLDEST, spokenCniVersions } from "./cni-version.ts";
import { isJsonObject, type JsonObject } from "./json-value.ts";

export interface CniPluginConf {
  /** Name of the program. */
  type: string;
  /** The capabilities that it asks for. */
  capabilities: string[];
  /** What is passed on: without what the runtime alone reads, and without what it sets. */
  fields: JsonObject;
}

export interface CniNetworkConf {
  name: string;
  /** The version that is spoken with its plugins. */
  cniVersion: string;
  disableCheck: boolean;
  disableGC: boolean;
  plugins: CniPluginConf[];
  text: string;
}

/** A configuration before its version is settled. */
export interface CniConfDraft extends Omit<CniNetworkConf, "cniVersion" | "text"> {
  /** The versions that both sides speak, the highest first; never empty. */
  versions: string[];
  /** More plugins may stand in a directory of the network's name. */
  morePlugins: boolean;
  raw: JsonObject;
  source: string;
}

/** Of networks and of container ids; they become parts of file names. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** @throws GantryError failed-precondition that says what is wrong, without the file's name. */
export function parseConfList(source: string): CniConfDraft {
  return listDraft(parseObject(source), source);
}

/** A file with one plugin, as a list. @throws GantryError failed-precondition. */
export function parseSingleConf(source: string): CniConfDraft {
  const plugin = parseObject(source);
  if (plugin["plugins"] !== undefined && plugin["type"] === undefined)
    throw bad("it is a list of plugins: its name must end in .conflist");
  const { name, cniVersion } = plugin;
  const list = { name, ...(cniVersion !== undefined && { cniVersion }), plugins: [plugin] };
  return { ...listDraft(list, JSON.stringify(list)), morePlugins: false };
}

/** One plugin of a list, or of a file in the directory of a network's plugins. @throws GantryError failed-precondition. */
export function parsePluginConf(value: unknown): CniPluginConf {
  if (!isJsonObject(value)) throw bad("a plugin is not an object");
  const { type, capabilities = {}, ...rest } = value;
  if (typeof type !== "string" || type === "") throw bad(`a plugin has no "type"`);
  if (type.includes("/") || type.includes("\0") || type === "." || type === "..")
    throw bad(`the plugin type ${JSON.stringify(type)} is not the name of a program`);
  if (!isJsonObject(capabilities)) throw bad(`"capabilities" of plugin "${type}" is not an object`);
  const fields = Object.fromEntries(Object.entries(rest).filter(([key]) => !key.startsWith("cni.dev/")));
  return {
    type,
    capabilities: Object.keys(capabilities).filter((name) => capabilities[name] === true),
    fields: { type, ...fields },
  };
}

/** The configuration in one of the draft's versions, with further plugins where it takes them. */
export function settleConf(
  draft: CniConfDraft,
  cniVersion: string,
  more: readonly JsonObject[] = [],
): CniNetworkConf {
  const { name, disableCheck, disableGC, raw, source } = draft;
  const plugins = [...draft.plugins, ...more.map(parsePluginConf)];
  if (plugins.length === 0) throw bad("it has no plugins");
  const own = Array.isArray(raw["plugins"]) ? (raw["plugins"] as unknown[]) : [];
  const { cniVersions: _candidates, ...fields } = raw;
  const same = more.length === 0 && raw["cniVersions"] === undefined;
  const text = same
    ? source
    : JSON.stringify({ ...fields, cniVersion, loadOnlyInlinedPlugins: true, plugins: [...own, ...more] });
  return { name, cniVersion, disableCheck, disableGC, plugins, text };
}

/** Reads a kept `text` again. @throws GantryError data-loss. */
export function readKeptConf(text: string): CniNetworkConf {
  try {
    const draft = parseConfList(text);
    return settleConf(draft, draft.versions[0] as string);
  } catch (error) {
    throw new GantryError("data-loss", `kept CNI configuration: ${errorMessage(error)}`, { cause: error });
  }
}

function listDraft(raw: JsonObject, source: string): CniConfDraft {
  const { name, plugins } = raw;
  if (typeof name !== "string" || name === "") throw bad("it has no name");
  if (!NAME.test(name)) throw bad(`the name ${JSON.stringify(name)} has characters that are not allowed`);
  if (plugins !== undefined && !Array.isArray(plugins)) throw bad(`"plugins" is not a list`);
  const inlinedOnly = flag(raw, "loadOnlyInlinedPlugins");
  if (plugins === undefined && inlinedOnly)
    throw bad(`it has no "plugins", and "loadOnlyInlinedPlugins" is set`);
  if (Array.isArray(plugins) && plugins.length === 0) throw bad(`"plugins" is empty`);
  return {
    name,
    versions: versionsOf(raw),
    disableCheck: flag(raw, "disableCheck"),
    disableGC: flag(raw, "disableGC"),
    morePlugins: !inlinedOnly,
    plugins: ((plugins ?? []) as unknown[]).map(parsePluginConf),
    raw,
    source,
  };
}

function versionsOf({ cniVersion, cniVersions = [] }: JsonObject): string[] {
  if (!Array.isArray(cniVersions)) throw bad(`"cniVersions" is not a list`);
  const named = [...(cniVersions as unknown[]), ...(cniVersion === undefined ? [] : [cniVersion])];
  for (const version of named)
    if (typeof version !== "string") throw bad(`the version ${JSON.stringify(version)} is not a text`);
  const versions = (named as string[]).filter((version) => version !== "");
  const spoken = spokenCniVersions(versions.length > 0 ? versions : [CNI_OLDEST]);
  if (spoken.length === 0)
    throw bad(`of its CNI versions (${versions.join(", ")}) none is spoken here: up to ${CNI_LATEST}`);
  return spoken;
}

/** True and false also as texts, as other runtimes take them. */
function flag(raw: JsonObject, key: string): boolean {
  const value = raw[key] ?? false;
  if (typeof value === "boolean") return value;
  const text = typeof value === "string" ? value.toLowerCase() : "";
  if (text !== "true" && text !== "false") throw bad(`"${key}" is neither true nor false`);
  return text === "true";
}

function parseObject(source: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (error) {
    throw bad(`it is not JSON: ${errorMessage(error)}`);
  }
  if (!isJsonObject(value)) throw bad("it is not a JSON object");
  return value;
}

function bad(what: string): GantryError {
  return new GantryError("failed-precondition", what);
}
