/**
 * The cached result of an attachment, in the place and form of libcni, so that other tools find what was attached:
 *
 *   DIRECTORY/results/NETWORK-CONTAINERID-IFNAME    { kind: "cniCacheV1", containerId, config (base64), ifName,
 *                                                     networkName, netns, cniArgs, capabilityArgs, result }
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoCode } from "../base/errors.ts";
import { isJsonObject, type JsonObject } from "./json-value.ts";

const KIND = "cniCacheV1";

/** One interface of one pod in one network, as its plugins were called. */
export interface CniAttachment {
  containerId: string;
  network: string;
  ifName: string;
  netnsPath: string;
  args: [string, string][];
  capabilityArgs: JsonObject;
  /** Text of the network configuration. */
  configuration: string;
}

export class CniCache {
  readonly #directory: string;

  /** @param directory "/var/lib/cni", shared with other runtimes. */
  constructor(directory: string) {
    this.#directory = join(directory, "results");
  }

  async write(attachment: CniAttachment, result: JsonObject): Promise<void> {
    const { containerId, network, ifName, netnsPath, args, capabilityArgs, configuration } = attachment;
    const cached = {
      kind: KIND,
      containerId,
      config: Buffer.from(configuration).toString("base64"),
      ifName,
      networkName: network,
      netns: netnsPath,
      cniArgs: args,
      capabilityArgs,
      result,
    };
    const write = (): Promise<void> =>
      writeFile(this.#path(attachment), JSON.stringify(cached), { mode: 0o600 });
    try {
      await write();
    } catch (error) {
      if (errnoCode(error) !== "ENOENT") throw error;
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await write();
    }
  }

  /** The result of the attachment's ADD; undefined where it is gone or cannot be read. */
  async read(attachment: CniAttachment): Promise<JsonObject | undefined> {
    const cached = await readCached(this.#path(attachment));
    return isJsonObject(cached?.["result"]) ? cached["result"] : undefined;
  }

  async delete(attachment: CniAttachment): Promise<void> {
    await rm(this.#path(attachment), { force: true });
  }

  /**
   * All attachments of a network, those of other runtimes too. Plugins take away what is not among them, so a file that
   * cannot be read, as another runtime may be writing it, counts by its name.
   */
  async attachmentsOf(network: string): Promise<{ containerID: string; ifname: string }[]> {
    const names = await readdir(this.#directory).catch((error: unknown) => {
      if (errnoCode(error) === "ENOENT") return [];
      throw error;
    });
    const mine = names.filter((name) => name.startsWith(`${network}-`)).toSorted();
    return (await Promise.all(mine.map((name) => this.#attachment(network, name)))).flat();
  }

  async #attachment(network: string, name: string): Promise<{ containerID: string; ifname: string }[]> {
    const { networkName, containerId, ifName } = (await readCached(join(this.#directory, name))) ?? {};
    if (typeof containerId === "string" && typeof ifName === "string")
      return networkName === network ? [{ containerID: containerId, ifname: ifName }] : [];
    const dash = name.lastIndexOf("-");
    const containerID = name.slice(network.length + 1, Math.max(dash, 0));
    return containerID === "" ? [] : [{ containerID, ifname: name.slice(dash + 1) }];
  }

  #path({ network, containerId, ifName }: CniAttachment): string {
    return join(this.#directory, `${network}-${containerId}-${ifName}`);
  }
}

async function readCached(path: string): Promise<JsonObject | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    return isJsonObject(value) && value["kind"] === KIND ? value : undefined;
  } catch {
    return undefined;
  }
}
