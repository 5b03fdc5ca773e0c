/** The files that every container of a pod sees: /etc/hostname, /etc/hosts and /etc/resolv.conf (hosts(5), resolv.conf(5)). */
import { chmod, chown, readFile, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { allEnded } from "../base/cleanup.ts";
import { errnoCode } from "../base/errors.ts";
import type { DnsConfig, PodSandboxConfig } from "./pod-sandbox.ts";
import type { PodPaths } from "./pod-paths.ts";

/** The text of a resolv.conf for this configuration. */
export function resolvConf(dns: DnsConfig): string {
  const lines: string[] = [];
  if (dns.searches.length > 0) lines.push(`search ${dns.searches.join(" ")}`);
  for (const server of dns.servers) lines.push(`nameserver ${server}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(" ")}`);
  return lines.map((line) => `${line}\n`).join("");
}

/** The hostname that the pod's processes see. */
export function podHostname(config: PodSandboxConfig): string {
  return config.namespaces.network === "node" || config.hostname === "" ? hostname() : config.hostname;
}

/** Writes the three files, readable by every user of a container and the pod's root's own. */
export async function writePodFiles(
  paths: PodPaths,
  config: PodSandboxConfig,
  owner: { uid: number; gid: number } | undefined,
): Promise<void> {
  const dns = config.dns;
  const stated = dns && dns.servers.length + dns.searches.length + dns.options.length > 0;
  const write = (path: string, text: string): Promise<void> => writePublic(path, text, owner);
  await allEnded([
    write(paths.hostname, `${podHostname(config)}\n`),
    copyOf("/etc/hosts").then((text) => write(paths.hosts, text)),
    (stated ? Promise.resolve(resolvConf(dns)) : copyOf("/etc/resolv.conf")).then((text) =>
      write(paths.resolvConf, text),
    ),
  ]);
}

/** The mode is set apart from the creation, as the daemon's umask hides files from other users. */
async function writePublic(
  path: string,
  text: string,
  owner: { uid: number; gid: number } | undefined,
): Promise<void> {
  await writeFile(path, text, { flag: "wx", mode: 0o600 });
  await chmod(path, 0o644);
  if (owner) await chown(path, owner.uid, owner.gid);
}

/** A host file's text; empty where the host has none. */
async function copyOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return "";
    throw error;
  }
}
