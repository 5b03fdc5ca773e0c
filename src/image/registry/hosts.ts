/**
 * Which hosts to ask for the images of a registry, in order: the mirrors of its certs.d directory, then its server.
 *
 *   DIRECTORY/HOST:PORT/hosts.toml     or HOST_PORT_ as the directory's name; DIRECTORY/_default/ for the rest
 *
 * A directory without hosts.toml may hold *.crt (CA) and *.cert with *.key (client) files, as Docker has them. The
 * files are read at each pull, so that a change needs no restart.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoCode, wrapError } from "../../base/errors.ts";
import { isLoopback, serverName, type HostTls, type RegistryHost } from "./host.ts";
import { readHostsFile, type HostsFile } from "./hosts-file.ts";

export interface HostsOptions {
  /** Directories as above; the first that knows the registry counts. */
  configDirectories: readonly string[];
  /** Registries ("host" or "host:port") that are asked over plain http, where no file says otherwise. */
  plainHttpHosts: readonly string[];
}

/**
 * @param registry as a reference names it, already checked: "docker.io", "host:5000".
 * @throws failed-precondition for a file that is wrong.
 */
export async function findHosts(registry: string, options: HostsOptions): Promise<RegistryHost[]> {
  const file = await findFile(registry, options.configDirectories);
  const server = serverName(registry);
  const hosts = (file?.mirrors ?? []).map((entry) => ({ ...entry, isServer: false }));
  if (file?.server) hosts.push({ ...file.server, isServer: true });
  else {
    const plain =
      options.plainHttpHosts.includes(registry) || (isLoopback(registry) && !registry.endsWith(":443"));
    const defaults = file?.defaults ?? { resolve: true, pull: true, tls: NO_TLS, headers: [] };
    hosts.push({
      baseUrl: new URL(`${plain ? "http" : "https"}://${server}/v2`),
      ...defaults,
      isServer: true,
    });
  }
  return hosts.map((host) => {
    const isRegistry = host.baseUrl.host === new URL(`${host.baseUrl.protocol}//${server}`).host;
    return { ...host, isServer: host.isServer || isRegistry, namespace: isRegistry ? undefined : registry };
  });
}

const NO_TLS: HostTls = { ca: [], client: [], skipVerify: false };

async function findFile(registry: string, directories: readonly string[]): Promise<HostsFile | undefined> {
  const names = [registry, registry.replace(/:([0-9]+)$/, "_$1_"), "_default"];
  for (const directory of directories) {
    for (const name of new Set(names)) {
      const file = await readDirectory(join(directory, name));
      if (file) return file;
    }
  }
  return undefined;
}

async function readDirectory(directory: string): Promise<HostsFile | undefined> {
  const names = await unlessAbsent(directory, readdir(directory));
  if (!names) return undefined;
  const path = join(directory, "hosts.toml");
  const text = await unlessAbsent(path, readFile(path, "utf8"));
  if (text !== undefined) return await readHostsFile(path, text);
  const tls: HostTls = { ca: [], client: [], skipVerify: false };
  const read = async (name: string): Promise<string> =>
    (await unlessAbsent(name, readFile(join(directory, name), "utf8"))) ?? "";
  for (const name of names.toSorted()) {
    if (name.endsWith(".crt")) tls.ca.push(await read(name));
    const key = name.replace(/\.cert$/, ".key");
    if (name.endsWith(".cert") && names.includes(key))
      tls.client.push({ cert: await read(name), key: await read(key) });
  }
  return { mirrors: [], server: undefined, defaults: { resolve: true, pull: true, tls, headers: [] } };
}

async function unlessAbsent<T>(path: string, read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return undefined;
    throw wrapError(path, error, "failed-precondition");
  }
}
