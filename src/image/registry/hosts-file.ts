/**
 * Reads one containerd-style hosts.toml (containerd's docs/hosts.md): the mirrors of a registry and how to talk to
 * them.
 *
 *   server = "https://registry-1.docker.io"
 *   [host."https://mirror.example"]
 *     capabilities = ["pull", "resolve"]     ca = "ca.pem"     client = [["cert.pem", "key.pem"]]
 *     skip_verify = false                    override_path = false
 *     [host."https://mirror.example".header]
 *       x-token = "…"
 *
 * The keys of a host may also stand at the top, for the server. Relative file names are relative to the file.
 * Keys that are not known here (push and dial settings) are ignored, so that files written for containerd work.
 */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { errorMessage, GantryError } from "../../base/errors.ts";
import type { HostTls, RegistryHost } from "./host.ts";

/** What the file says of one host, before defaults that depend on the registry. */
export type HostEntry = Omit<RegistryHost, "namespace" | "isServer">;

export interface HostsFile {
  mirrors: HostEntry[];
  /** Undefined where the file leaves the server to its default address; its other settings are in `defaults`. */
  server: HostEntry | undefined;
  /** The top-level settings, for a server at its default address. */
  defaults: Omit<HostEntry, "baseUrl">;
}

type Table = Record<string, unknown>;

/** @throws failed-precondition naming file, line where known, and key. */
export async function readHostsFile(path: string, text: string): Promise<HostsFile> {
  let root: Table;
  try {
    root = parse(text);
  } catch (error) {
    const line = error instanceof TomlError ? `:${error.line}` : "";
    // The first line of the message only: what follows quotes the file, which may hold a header's secret.
    throw new GantryError("failed-precondition", `${path}${line}: ${errorMessage(error).split("\n")[0]}`, {
      cause: error,
    });
  }
  const file = new Reader(path, text);
  const server = file.string(root, "server", "server");
  const defaults = await file.settings(root, "");
  const hosts = file.table(root, "host", "host");
  const mirrors: HostEntry[] = [];
  for (const [address, value] of Object.entries(hosts ?? {})) {
    const key = `host.${JSON.stringify(address)}`;
    const table = file.asTable(value, key);
    mirrors.push({ baseUrl: file.url(address, table, key), ...(await file.settings(table, `${key}.`)) });
  }
  return {
    mirrors,
    server: server ? { baseUrl: file.url(server, root, "server"), ...defaults } : undefined,
    defaults,
  };
}

/** Typed access to the file's keys, with errors that say where. */
class Reader {
  readonly #path: string;
  readonly #lines: string[];

  constructor(path: string, text: string) {
    this.#path = path;
    this.#lines = text.split("\n");
  }

  error(key: string, reason: string): GantryError {
    const last = key.replace(/^.*\.(?=[a-z_]+$)/, "");
    const section = key === last ? undefined : key.slice(0, -last.length - 1);
    let from = section === undefined ? 0 : this.#lines.findIndex((line) => line.includes(`[${section}`));
    if (from < 0) from = 0;
    const at = this.#lines.findIndex((line, i) => i >= from && line.trimStart().startsWith(last));
    const line = at >= 0 ? at : from;
    return new GantryError("failed-precondition", `${this.#path}:${line + 1}: ${key}: ${reason}`);
  }

  asTable(value: unknown, key: string): Table {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw this.error(key, "must be a table");
    return value as Table;
  }

  table(of: Table, name: string, key: string): Table | undefined {
    return of[name] === undefined ? undefined : this.asTable(of[name], key);
  }

  string(of: Table, name: string, key: string): string | undefined {
    const value = of[name];
    if (value !== undefined && typeof value !== "string") throw this.error(key, "must be a string");
    return value;
  }

  boolean(of: Table, name: string, key: string): boolean {
    const value = of[name];
    if (value !== undefined && typeof value !== "boolean") throw this.error(key, "must be true or false");
    return value ?? false;
  }

  strings(of: Table, name: string, key: string): string[] | undefined {
    const value = of[name];
    if (value === undefined) return undefined;
    const list = typeof value === "string" ? [value] : value;
    if (!Array.isArray(list) || !list.every((item) => typeof item === "string")) {
      throw this.error(key, "must be a string or an array of strings");
    }
    return list;
  }

  /** The address of a host: scheme https unless given; /v2 is appended unless override_path says it is all there. */
  url(address: string, table: Table, key: string): URL {
    let url: URL;
    try {
      url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(address) ? address : `https://${address}`);
    } catch {
      throw this.error(key, "not an address");
    }
    if (url.protocol !== "https:" && url.protocol !== "http:") throw this.error(key, "must be http or https");
    if (url.username || url.password) throw this.error(key, "must not hold credentials");
    if (url.search || url.hash) throw this.error(key, "must not have a query or fragment");
    url.pathname = url.pathname.replace(/\/+$/, "");
    const prefix = key === "server" ? "" : `${key}.`;
    if (!this.boolean(table, "override_path", `${prefix}override_path`) && !url.pathname.endsWith("/v2")) {
      url.pathname = `${url.pathname.replace(/\/$/, "")}/v2`;
    }
    return url;
  }

  async settings(table: Table, prefix: string): Promise<Omit<HostEntry, "baseUrl">> {
    const capabilities = this.strings(table, "capabilities", `${prefix}capabilities`);
    for (const capability of capabilities ?? []) {
      if (!["pull", "resolve", "push", "referrers"].includes(capability)) {
        throw this.error(`${prefix}capabilities`, `unknown capability ${JSON.stringify(capability)}`);
      }
    }
    return {
      resolve: capabilities?.includes("resolve") ?? true,
      pull: capabilities?.includes("pull") ?? true,
      tls: await this.#tls(table, prefix),
      headers: this.#headers(table, prefix),
    };
  }

  async #tls(table: Table, prefix: string): Promise<HostTls> {
    const ca: string[] = [];
    for (const name of this.strings(table, "ca", `${prefix}ca`) ?? [])
      ca.push(await this.#read(name, `${prefix}ca`));
    const client: { cert: string; key: string }[] = [];
    for (const [cert, key] of this.#clientPairs(table, `${prefix}client`)) {
      const pem = await this.#read(cert, `${prefix}client`);
      client.push({ cert: pem, key: key === undefined ? pem : await this.#read(key, `${prefix}client`) });
    }
    return { ca, client, skipVerify: this.boolean(table, "skip_verify", `${prefix}skip_verify`) };
  }

  /** `client` is a file with both, an array of such, or an array of [certificate, key]. */
  #clientPairs(table: Table, key: string): [cert: string, key: string | undefined][] {
    const value = table["client"];
    if (value === undefined) return [];
    const list: unknown[] = Array.isArray(value) ? (value as unknown[]) : [value];
    return list.map((item): [string, string | undefined] => {
      if (typeof item === "string") return [item, undefined];
      if (
        Array.isArray(item) &&
        typeof item[0] === "string" &&
        (item.length === 1 || (item.length === 2 && typeof item[1] === "string"))
      ) {
        return [item[0], (item[1] as string | undefined) || undefined];
      }
      throw this.error(key, "must be a file name or [certificate, key] pairs");
    });
  }

  #headers(table: Table, prefix: string): [string, string][] {
    const headers: [string, string][] = [];
    for (const name of Object.keys(this.table(table, "header", `${prefix}header`) ?? {})) {
      const key = `${prefix}header.${name}`;
      for (const value of this.strings(table["header"] as Table, name, key) ?? []) {
        if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || /[\r\n\0]/.test(value))
          throw this.error(key, "not a valid header");
        headers.push([name.toLowerCase(), value]);
      }
    }
    return headers;
  }

  async #read(name: string, key: string): Promise<string> {
    try {
      return await readFile(resolve(dirname(this.#path), name), "utf8");
    } catch (error) {
      throw this.error(key, errorMessage(error));
    }
  }
}
