/**
 * Choosing the version of a network that names several (`cniVersions`): the highest that all its plugins speak, as
 * they say themselves (VERSION). Asked once for a configuration, when it is read; most name one version only.
 */
import { errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { CniPlugins } from "./cni-plugin.ts";
import { CNI_LATEST } from "./cni-version.ts";
import { isJsonObject } from "./json-value.ts";

const LIMIT_MS = 5_000;

export class CniVersions {
  readonly #plugins: CniPlugins;
  readonly #log: Logger;

  constructor(plugins: CniPlugins, log: Logger) {
    this.#plugins = plugins;
    this.#log = log;
  }

  /** @param versions the highest first; that one also where the plugins cannot be asked. Does not reject. */
  async choose(versions: readonly string[], types: readonly string[]): Promise<string> {
    const [highest = CNI_LATEST] = versions;
    const spoken = await Promise.all([...new Set(types)].map((type) => this.#spokenBy(type)));
    return versions.find((version) => spoken.every((list) => list?.includes(version) ?? true)) ?? highest;
  }

  /** Undefined where it does not say. */
  async #spokenBy(type: string): Promise<string[] | undefined> {
    try {
      const input = { cniVersion: CNI_LATEST };
      const signal = AbortSignal.timeout(LIMIT_MS);
      const told = await this.#plugins.run(type, "VERSION", undefined, input, signal);
      const list = isJsonObject(told) ? told["supportedVersions"] : undefined;
      return Array.isArray(list) ? list.filter((version) => typeof version === "string") : undefined;
    } catch (error) {
      this.#log.warn({ plugin: type, err: errorMessage(error) }, "a CNI plugin does not tell its versions");
      return undefined;
    }
  }
}
