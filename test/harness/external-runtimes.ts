/** Debian's runc and crun as handlers of a test's daemon, and programs that misbehave. */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Where scripts that stand before a program are: they are the same for all tests. */
const PROGRAMS = join(import.meta.dirname, "../../.cache/external-runtimes");

const UNIFIED = "/sys/fs/cgroup/unified";

/**
 * crun, or where it would refuse the host's hybrid control groups (v1 with a controller in v2), a program that runs it
 * with a view of the host in which v2 has none.
 */
async function crunProgram(): Promise<string> {
  const crun = "/usr/bin/crun";
  const controllers = join(UNIFIED, "cgroup.controllers");
  if (!existsSync(controllers) || readFileSync(controllers, "utf8").trim() === "") return crun;
  const hide = `mount --make-private ${UNIFIED} && mount --bind /dev/null ${controllers} && exec ${crun} "$@"`;
  return await script(PROGRAMS, "crun", `exec unshare -m --propagation unchanged sh -c '${hide}' crun "$@"`);
}

/** An executable shell script. */
export async function script(directory: string, name: string, text: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, name);
  // Whole or not at all, as another test may execute it.
  await writeFile(`${path}.${process.pid}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  await rename(`${path}.${process.pid}`, path);
  return path;
}

/** By the name of the handler. */
export async function debianPrograms(): Promise<Map<string, string>> {
  return new Map([
    ["runc", "/usr/sbin/runc"],
    ["crun", await crunProgram()],
  ]);
}

/** Debian's crun can more than it tells. */
const CRUN_FEATURES = 'assume_features = ["user_namespaces", "recursive_read_only_mounts"]';

/** Lines of a configuration. */
export function handlerSettings(name: string, binary: string, more = ""): string {
  const features = name === "crun" ? CRUN_FEATURES : "";
  return `[runtimes.${name}]\ntype = "oci"\nbinary = ${JSON.stringify(binary)}\n${features}\n${more}\n`;
}
