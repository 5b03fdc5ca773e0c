/** Debian's docker-registry on loopback, in a directory of its own, for as long as a test runs. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "./free-port.ts";
import { patient } from "./patience.ts";

export interface Registry {
  /** "127.0.0.1:PORT" */
  host: string;
  stop(): Promise<void>;
}

/** @param htpasswd content of an Apache password file (bcrypt): basic authentication is then required. */
export async function startRegistry(directory: string, htpasswd?: string): Promise<Registry> {
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  await mkdir(directory, { recursive: true });
  const configuration = join(directory, "config.yml");
  const lines = [
    "version: 0.1",
    "log: { level: error, accesslog: { disabled: true } }",
    `storage: { filesystem: { rootdirectory: ${JSON.stringify(join(directory, "data"))} }, delete: { enabled: true } }`,
    `http: { addr: ${JSON.stringify(host)} }`,
  ];
  if (htpasswd !== undefined) {
    const path = join(directory, "htpasswd");
    await writeFile(path, htpasswd);
    lines.push(`auth: { htpasswd: { realm: test, path: ${JSON.stringify(path)} } }`);
  }
  await writeFile(configuration, `${lines.join("\n")}\n`);
  // Its log tells every miss as an error; it goes to a file of the directory.
  const log = openSync(join(directory, "registry.log"), "a");
  const child = spawn("docker-registry", ["serve", configuration], {
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  await answering(child, `http://${host}/v2/`);
  return {
    host,
    stop: async () => {
      if (child.exitCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}

async function answering(child: ChildProcess, url: string): Promise<void> {
  for (const end = performance.now() + patient(30_000); performance.now() < end;) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`);
    try {
      await (await fetch(url)).arrayBuffer();
      return;
    } catch {
      await sleep(50);
    }
  }
  child.kill("SIGKILL");
  throw new Error(`docker-registry did not answer at ${url}`);
}
