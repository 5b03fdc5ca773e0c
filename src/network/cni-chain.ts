/**
 * The plugins of one network, run one after the other for one attachment, or for none (specification 1.1, section 3).
 *
 *   add     in order            each gets the result of the one before; the last result is cached
 *   check   in order            each gets the cached result
 *   del     in reverse order    each gets the cached result; halts at the first failure, so that what it did is not
 *                               pulled away from under it: an address comes free last
 *   gc      in order            each is asked, whatever the others say
 *   status  in order            up to the first that is not ready
 */
import { errorMessage, GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { CniAttachment, CniCache } from "./cni-cache.ts";
import type { CniNetworkConf, CniPluginConf } from "./cni-conf.ts";
import { presentNamespace } from "./cni-namespace.ts";
import type { CniPlugins } from "./cni-plugin.ts";
import { cniResult } from "./cni-result.ts";
import { cniVersionAtLeast } from "./cni-version.ts";
import { isJsonObject, type JsonObject } from "./json-value.ts";

export class CniChain {
  readonly #plugins: CniPlugins;
  readonly #cache: CniCache;

  constructor(plugins: CniPlugins, cache: CniCache) {
    this.#plugins = plugins;
    this.#cache = cache;
  }

  /** @throws failed-precondition where a plugin is missing; nothing has been run then. */
  async requirePlugins(network: CniNetworkConf): Promise<void> {
    for (const { type } of network.plugins) await this.#plugins.find(type);
  }

  /** What is there when it rejects, `del` removes. */
  async add(network: CniNetworkConf, attachment: CniAttachment, signal: AbortSignal): Promise<JsonObject> {
    let result: JsonObject | undefined;
    for (const plugin of network.plugins) {
      const input = requestConf(network, plugin, result, attachment.capabilityArgs);
      const printed = await this.#run(network, plugin, "ADD", attachment, input, signal);
      if (!isJsonObject(printed))
        throw new GantryError(
          "unavailable",
          `CNI network "${network.name}": CNI plugin "${plugin.type}": ADD printed no result`,
        );
      result = cniResult(printed, network.cniVersion);
      failpoint("cni-setup:plugin");
    }
    if (!result) throw new GantryError("internal", `CNI network "${network.name}" has no plugins`);
    await this.#cache.write(attachment, result);
    return result;
  }

  async del(network: CniNetworkConf, attachment: CniAttachment, signal: AbortSignal): Promise<void> {
    const result = await this.#result(network, attachment);
    const present = { ...attachment, netnsPath: presentNamespace(attachment.netnsPath) };
    for (const plugin of network.plugins.toReversed()) {
      const input = requestConf(network, plugin, result, attachment.capabilityArgs);
      await this.#run(network, plugin, "DEL", present, input, signal);
      failpoint("cni-teardown:plugin");
    }
    await this.#cache.delete(attachment);
    failpoint("cni-teardown:cache");
  }

  /** Does nothing where the configuration forbids it, or has a version without CHECK. */
  async check(network: CniNetworkConf, attachment: CniAttachment, signal: AbortSignal): Promise<void> {
    if (network.disableCheck || !cniVersionAtLeast(network.cniVersion, "0.4.0")) return;
    const result = await this.#result(network, attachment);
    if (!result) return;
    for (const plugin of network.plugins) {
      const input = requestConf(network, plugin, result, attachment.capabilityArgs);
      await this.#run(network, plugin, "CHECK", attachment, input, signal);
    }
  }

  /** Does nothing where the configuration forbids it, or has a version without GC. */
  async gc(
    network: CniNetworkConf,
    valid: readonly { containerID: string; ifname: string }[],
    signal: AbortSignal,
  ): Promise<void> {
    if (network.disableGC || !cniVersionAtLeast(network.cniVersion, "1.1.0")) return;
    const failures: unknown[] = [];
    for (const plugin of network.plugins) {
      // Plugins built on older libraries read the second name.
      const attachments = { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
      const input = { ...requestConf(network, plugin, undefined, {}), ...attachments };
      await this.#run(network, plugin, "GC", undefined, input, signal).catch((error: unknown) =>
        failures.push(error),
      );
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map(errorMessage).join("; "));
  }

  /** Whether ADD may be called. Asks the plugins where the version has STATUS. @throws what is missing or refused. */
  async status(network: CniNetworkConf, signal: AbortSignal): Promise<void> {
    await this.requirePlugins(network);
    if (!cniVersionAtLeast(network.cniVersion, "1.1.0")) return;
    for (const plugin of network.plugins)
      await this.#run(
        network,
        plugin,
        "STATUS",
        undefined,
        requestConf(network, plugin, undefined, {}),
        signal,
      );
  }

  /** Of an ADD before; DEL and CHECK have it from version 0.4.0 on. */
  async #result(network: CniNetworkConf, attachment: CniAttachment): Promise<JsonObject | undefined> {
    if (!cniVersionAtLeast(network.cniVersion, "0.4.0")) return undefined;
    return this.#cache.read(attachment);
  }

  async #run(
    network: CniNetworkConf,
    { type }: CniPluginConf,
    command: "ADD" | "DEL" | "CHECK" | "GC" | "STATUS",
    attachment: CniAttachment | undefined,
    input: JsonObject,
    signal: AbortSignal,
  ): Promise<unknown> {
    try {
      return await this.#plugins.run(type, command, attachment, input, signal);
    } catch (error) {
      throw wrapError(`CNI network "${network.name}"`, error);
    }
  }
}

/** Section 3, "Deriving request configuration from plugin configuration". */
function requestConf(
  { name, cniVersion }: CniNetworkConf,
  { fields, capabilities }: CniPluginConf,
  prevResult: JsonObject | undefined,
  capabilityArgs: JsonObject,
): JsonObject {
  const granted = capabilities.filter((capability) => Object.hasOwn(capabilityArgs, capability));
  const runtimeConfig = Object.fromEntries(
    granted.map((capability) => [capability, capabilityArgs[capability]]),
  );
  return {
    ...fields,
    name,
    cniVersion,
    ...(prevResult && { prevResult }),
    ...(granted.length > 0 && { runtimeConfig }),
  };
}
