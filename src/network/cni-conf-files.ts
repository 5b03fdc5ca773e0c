/**
 * Reading the network configurations of a directory: its .conflist, .conf and .json files in the order of their names,
 * the first of them, or the first few. A list may have further plugins in DIRECTORY/NETWORK/*.conf, unless it says
 * loadOnlyInlinedPlugins.
 *
 * A file that is not valid is an error that names it, and is not passed over: the next one would connect pods to
 * another network than the operator meant.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { errnoCode, GantryError, wrapError } from "../base/errors.ts";
import {
  parseConfList,
  parsePluginConf,
  parseSingleConf,
  settleConf,
  type CniConfDraft,
  type CniNetworkConf,
} from "./cni-conf.ts";
import type { JsonObject } from "./json-value.ts";

const EXTENSIONS = new Set([".conflist", ".conf", ".json"]);
const FILE_LIMIT_BYTES = 1024 * 1024;

export interface LoadedConf extends CniNetworkConf {
  file: string;
}

export interface LoadOptions {
  directory: string;
  /** How many networks a pod is attached to; 0: to all. */
  limit: number;
  /** Chooses among several versions that a configuration names, the highest first. */
  chooseVersion: (versions: readonly string[], types: readonly string[]) => Promise<string>;
}

/** Empty without a directory or without files. @throws GantryError failed-precondition that names the file. */
export async function loadCniConf({ directory, limit, chooseVersion }: LoadOptions): Promise<LoadedConf[]> {
  const names = await confNames(directory, EXTENSIONS);
  const loaded: LoadedConf[] = [];
  for (const name of limit > 0 ? names.slice(0, limit) : names) {
    const file = join(directory, name);
    try {
      const source = await readSmallFile(file);
      const draft = extname(name) === ".conflist" ? parseConfList(source) : parseSingleConf(source);
      const more = draft.morePlugins ? await morePlugins(directory, draft) : [];
      const types = [
        ...draft.plugins.map(({ type }) => type),
        ...more.map((plugin) => String(plugin["type"])),
      ];
      const [only = ""] = draft.versions;
      const version = draft.versions.length > 1 ? await chooseVersion(draft.versions, types) : only;
      const conf = settleConf(draft, version, more);
      if (loaded.some((other) => other.name === conf.name))
        throw new GantryError("failed-precondition", `another file has a network named "${conf.name}"`);
      loaded.push({ ...conf, file });
    } catch (error) {
      throw wrapError(`CNI configuration ${file}`, error);
    }
  }
  return loaded;
}

async function morePlugins(directory: string, { name }: CniConfDraft): Promise<JsonObject[]> {
  const below = join(directory, name);
  const names = await confNames(below, new Set([".conf"]));
  return Promise.all(
    names.map(async (file) => {
      try {
        const plugin: unknown = JSON.parse(await readSmallFile(join(below, file)));
        parsePluginConf(plugin);
        return plugin as JsonObject;
      } catch (error) {
        throw wrapError(join(below, file), error, "failed-precondition");
      }
    }),
  );
}

/** In the order of their bytes. */
async function confNames(directory: string, extensions: ReadonlySet<string>): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names.filter((name) => extensions.has(extname(name))).toSorted();
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return [];
    throw wrapError(`CNI configuration directory ${directory}`, error, "failed-precondition");
  }
}

async function readSmallFile(path: string): Promise<string> {
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new GantryError("failed-precondition", "it is not a file");
    if (found.size > FILE_LIMIT_BYTES)
      throw new GantryError("failed-precondition", "it is larger than 1 MiB");
    return await readFile(path, "utf8");
  } catch (error) {
    throw errnoCode(error) === undefined ? error : wrapError("read", error, "failed-precondition");
  }
}
