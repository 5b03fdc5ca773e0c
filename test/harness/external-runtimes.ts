/** Debian's runc and crun as handlers of a test's daemon, and programs that misbehave. */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const UNIFIED = "/sys/fs/cgroup/unified";

/**
 * crun, or where it would refuse the host's hybrid control groups (v1 with a controller in v2), a program that runs it
 * with a view of the host in which there is no v2.
 */
export async function crunProgram(directory: string): Promise<string> {
  const crun = "/usr/bin/crun";
  const controllers = join(UNIFIED, "cgroup.controllers");
  if (!existsSync(controllers) || readFileSync(controllers, "utf8").trim() === "") return crun;
  const hide = `mount --make-private /sys/fs/cgroup && umount -l ${UNIFIED} && exec ${crun} "$@"`;
  return await script(directory, "crun", `exec unshare -m --propagation unchanged sh -c '${hide}' crun "$@"`);
}

/** An executable shell script. */
export async function script(directory: string, name: string, text: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, name);
  await writeFile(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
}

export const RUNC = "/usr/sbin/runc";

/** Lines of a configuration. */
export function handlerSettings(name: string, binary: string, more = ""): string {
  return `[runtimes.${name}]\ntype = "oci"\nbinary = ${JSON.stringify(binary)}\n${more}\n`;
}
