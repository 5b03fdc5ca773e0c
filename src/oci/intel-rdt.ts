/**
 * Classes of cache and memory bandwidth (config-linux.md, "IntelRdt"; Documentation/filesystems/resctrl.rst): the
 * directories of a container in the resctrl filesystem, and the `tasks` files that its processes enter, as those of a
 * control group.
 *
 *   RESCTRL/CLOS/schemata                    CLOS: closID, the filesystem's root for "/", or the container's id
 *   RESCTRL/CLOS/tasks
 *   RESCTRL/CLOS/mon_groups/CONTAINER/tasks  with enableMonitoring
 *
 * A directory is removed with the container when it is named after it.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoCode, errorMessage, GantryError } from "../base/errors.ts";
import { decodeOctalEscapes } from "../base/octal-escape.ts";
import type { IntelRdt } from "./runtime-spec.ts";

/** Where resctrl is mounted; undefined where it is not. */
export function resctrlRoot(mountinfo = readFileSync("/proc/self/mountinfo", "utf8")): string | undefined {
  for (const line of mountinfo.split("\n")) {
    const fields = line.split(" ");
    if (fields[fields.indexOf("-") + 1] === "resctrl") return decodeOctalEscapes(fields[4] ?? "");
  }
  return undefined;
}

interface Directories {
  /** Of the class. */
  group: string;
  monitor: string | undefined;
}

function directories(rdt: IntelRdt, containerId: string, root: string): Directories {
  const group = rdt.closID === "/" ? root : join(root, rdt.closID || containerId);
  return { group, monitor: rdt.enableMonitoring ? join(group, "mon_groups", containerId) : undefined };
}

function requireRoot(root: string | undefined): string {
  if (root !== undefined) return root;
  throw new GantryError(
    "failed-precondition",
    "linux.intelRdt: no resctrl filesystem is mounted, or this kernel has none (CONFIG_X86_CPU_RESCTRL)",
  );
}

/** The files that each process of the container enters; none without intelRdt. @throws GantryError without resctrl. */
export function intelRdtTasks(
  rdt: IntelRdt | undefined,
  containerId: string,
  root: string | undefined = rdt && resctrlRoot(),
): string[] {
  if (!rdt) return [];
  const { group, monitor } = directories(rdt, containerId, requireRoot(root));
  return [group, ...(monitor === undefined ? [] : [monitor])].map((directory) => join(directory, "tasks"));
}

/**
 * Makes what is missing, before the first process. What a former attempt made of this container's own is taken.
 * @throws GantryError failed-precondition: no resctrl, a class that does not exist or has another schema, one too many.
 */
export function prepareIntelRdt(
  rdt: IntelRdt | undefined,
  containerId: string,
  root: string | undefined = rdt && resctrlRoot(),
): void {
  if (!rdt) return;
  const { group, monitor } = directories(rdt, containerId, requireRoot(root));
  const lines = [rdt.l3CacheSchema, rdt.memBwSchema, ...(rdt.schemata ?? [])].filter((line) => line?.trim());
  const made: string[] = [];
  try {
    if (rdt.closID && existsSync(group)) checkSchemata(group, lines as string[]);
    else {
      if (rdt.closID && lines.length === 0)
        throw new GantryError("failed-precondition", `closID: there is no class "${rdt.closID}"`);
      makeDirectory(group, made);
      if (lines.length > 0) writeFileSync(join(group, "schemata"), `${lines.join("\n")}\n`);
    }
    if (monitor !== undefined) makeDirectory(monitor, made);
  } catch (error) {
    const status = readStatus(root ?? "");
    for (const directory of made.toReversed()) removeDirectory(directory);
    throw new GantryError("failed-precondition", `linux.intelRdt: ${errorMessage(error)}${status}`, {
      cause: error,
    });
  }
}

/** Takes away what is the container's own. What is gone already is no error. */
export function removeIntelRdt(
  rdt: IntelRdt | undefined,
  containerId: string,
  root: string | undefined = rdt && resctrlRoot(),
): void {
  if (!rdt || root === undefined) return;
  const { group, monitor } = directories(rdt, containerId, root);
  if (monitor !== undefined) removeDirectory(monitor);
  if (!rdt.closID) removeDirectory(group);
}

/**
 * New values for the class of a container that runs, whoever else is in it. Gives back what takes them back.
 * @throws GantryError failed-precondition: a container without a class, no resctrl, values that the kernel refuses.
 */
export function updateIntelRdt(
  rdt: IntelRdt | undefined,
  containerId: string,
  lines: readonly string[],
  root: string | undefined = resctrlRoot(),
): () => void {
  const { group } = directories(rdt ?? {}, containerId, requireRoot(root));
  const path = join(group, "schemata");
  try {
    if (!rdt) throw new GantryError("failed-precondition", "the container was made without a class");
    const before = readFileSync(path, "latin1");
    writeFileSync(path, `${lines.join("\n")}\n`);
    return () => writeFileSync(path, before);
  } catch (error) {
    throw new GantryError(
      "failed-precondition",
      `linux.intelRdt: ${errorMessage(error)}${readStatus(root ?? "")}`,
      { cause: error },
    );
  }
}

function makeDirectory(path: string, made: string[]): void {
  try {
    mkdirSync(path);
    made.push(path);
  } catch (error) {
    if (errnoCode(error) !== "EEXIST") throw error;
  }
}

function removeDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
}

/** "L3:0=7f0;1=1f", taken apart: the resource, and its value in each domain. Masks are compared as numbers. */
function parseSchema(line: string): { resource: string; values: Map<string, string> } {
  const [resource = "", rest = ""] = line.trim().split(":", 2);
  const bare = (value: string): string =>
    value
      .trim()
      .replace(/^0+(?=.)/, "")
      .toLowerCase();
  const values = rest.split(";").map((entry): [string, string] => {
    const [domain = "", value = ""] = entry.split("=", 2);
    return [bare(domain), bare(value)];
  });
  return { resource: resource.trim(), values: new Map(values) };
}

/** What is asked of a class that exists must be what it has. */
function checkSchemata(group: string, asked: readonly string[]): void {
  if (asked.length === 0) return;
  const present = readFileSync(join(group, "schemata"), "latin1").split("\n").map(parseSchema);
  for (const line of asked) {
    const { resource, values } = parseSchema(line);
    const found = present.find((schema) => schema.resource === resource);
    const equal = found && [...values].every(([domain, value]) => found.values.get(domain) === value);
    if (!equal)
      throw new GantryError(
        "failed-precondition",
        `class ${JSON.stringify(group)} exists, and not with ${line}`,
      );
  }
}

/** What the kernel says about the last thing that it refused. */
function readStatus(root: string): string {
  try {
    const status = readFileSync(join(root, "info/last_cmd_status"), "utf8").trim();
    return status === "" || status === "ok" ? "" : ` (${status})`;
  } catch {
    return "";
  }
}
