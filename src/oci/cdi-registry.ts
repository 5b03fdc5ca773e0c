/**
 * The CDI devices of the host: read from the directories of CDI files when a container asks for one, and kept until a
 * file changes. A later directory wins over an earlier one; two files of one directory that name the same device leave
 * it unresolved. A file that cannot be read does not keep the others from being used.
 */
import { constants } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoCode, errorMessage, GantryError } from "../base/errors.ts";
import { applyCdiEdits } from "./cdi-edits.ts";
import { checkCdiSpec, type CdiSpec, parseCdiDeviceName } from "./cdi-spec.ts";
import type { Spec } from "./runtime-spec.ts";

const JSON_LIMIT_BYTES = 4 << 20;
/** Less, as parsing it takes a thousand times the time and memory. */
const YAML_LIMIT_BYTES = 1 << 20;

interface LoadedFile {
  path: string;
  /** Which of the directories. */
  priority: number;
  /** Changes when the file does. */
  version: string;
  spec: CdiSpec | undefined;
  /** Why there is no spec. */
  error: string;
}

export class CdiRegistry {
  readonly #directories: readonly string[];
  #files = new Map<string, LoadedFile>();

  /** @param directories absolute paths, in increasing priority; one that is missing holds nothing. */
  constructor(directories: readonly string[]) {
    this.#directories = directories;
  }

  /**
   * The configuration with what the devices add to it; `spec` itself is not changed. What the files say of all devices
   * of a kind is added once, before the first of them.
   * @param names "vendor.com/class=device", in the order in which they are applied.
   * @throws GantryError invalid-argument for a malformed name, not-found for an unknown device, failed-precondition for a
   *   conflict or a device that cannot be given.
   */
  async inject(spec: Spec, names: readonly string[]): Promise<Spec> {
    if (names.length === 0) return spec;
    const asked = [...new Set(names)].map((name) => ({ name, ...parseCdiDeviceName(name) }));
    await this.#refresh();
    const seen = new Set<LoadedFile>();
    let result = spec;
    for (const { name, kind, device } of asked) {
      const { file, cdi } = this.#find(name, kind, device);
      const what = `CDI device "${name}" of ${file.path}`;
      if (!seen.has(file)) result = applyCdiEdits(result, cdi.edits, what);
      seen.add(file);
      result = applyCdiEdits(result, cdi.devices.get(device) ?? {}, what);
    }
    return result;
  }

  #find(name: string, kind: string, device: string): { file: LoadedFile; cdi: CdiSpec } {
    const found = [...this.#files.values()].flatMap((file) =>
      file.spec?.kind === kind && file.spec.devices.has(device) ? [{ file, cdi: file.spec }] : [],
    );
    const priority = Math.max(...found.map(({ file }) => file.priority));
    const [first, ...others] = found.filter(({ file }) => file.priority === priority);
    if (!first) {
      const broken = [...this.#files.values()].filter(({ error }) => error !== "").map(({ error }) => error);
      const why = broken.length > 0 ? `; unreadable: ${broken.join("; ")}` : "";
      throw new GantryError(
        "not-found",
        `CDI device "${name}" is in no file of ${this.#directories.join(", ")}${why}`,
      );
    }
    if (others.length > 0)
      throw new GantryError(
        "failed-precondition",
        `CDI device "${name}" is in several files: ${[first, ...others].map(({ file }) => file.path).join(", ")}`,
      );
    return first;
  }

  async #refresh(): Promise<void> {
    const files = new Map<string, LoadedFile>();
    for (const [priority, directory] of this.#directories.entries())
      for (const path of await filesIn(directory)) {
        const file = await this.#load(path, priority);
        if (file) files.set(path, file);
      }
    this.#files = files;
  }

  /** Undefined for one that has gone meanwhile. */
  async #load(path: string, priority: number): Promise<LoadedFile | undefined> {
    let version = "";
    try {
      const { mtimeNs, size, ino, ctimeNs } = await stat(path, { bigint: true });
      version = `${mtimeNs} ${ctimeNs} ${size} ${ino}`;
      const known = this.#files.get(path);
      if (known?.version === version) return known;
      const spec = checkCdiSpec(await parsed(path, await readText(path)), path);
      return { path, priority, version, spec, error: "" };
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return undefined;
      const message = errorMessage(error);
      const named = error instanceof GantryError ? message : `CDI file ${path}: ${message}`;
      return { path, priority, version, spec: undefined, error: named };
    }
  }
}

async function filesIn(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => /\.(?:json|yaml)$/.test(name))
      .toSorted()
      .map((name) => join(directory, name));
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw new GantryError("failed-precondition", `CDI directory ${directory}: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}

/** Neither waits for the writer of a fifo nor reads without end. */
async function readText(path: string): Promise<string> {
  const limit = path.endsWith(".json") ? JSON_LIMIT_BYTES : YAML_LIMIT_BYTES;
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if (!(await file.stat()).isFile())
    throw new GantryError("invalid-argument", `CDI file ${path}: is no regular file`);
  const content = Buffer.alloc(limit + 1);
  let length = 0;
  for (let read = 1; read > 0 && length < content.length; length += read)
    read = (await file.read(content, length, content.length - length)).bytesRead;
  if (length > limit)
    throw new GantryError("invalid-argument", `CDI file ${path}: larger than ${limit} bytes`);
  return content.toString("utf8", 0, length);
}

/** YAML's parser is loaded when the first file of that form is read. */
async function parsed(path: string, content: string): Promise<unknown> {
  try {
    if (path.endsWith(".json")) return JSON.parse(content);
    const { parse } = await import("yaml");
    return parse(content, { maxAliasCount: 100 });
  } catch (error) {
    throw new GantryError("invalid-argument", `CDI file ${path}: ${errorMessage(error)}`, { cause: error });
  }
}
