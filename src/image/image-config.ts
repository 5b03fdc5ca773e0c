/**
 * The image configuration (OCI image specification, config.md): untrusted JSON to checked values.
 *
 * Values are kept as the image has them; the user in particular is resolved by whoever makes the container.
 * Labels are data for clients and change nothing here (CVE-2026-53488).
 */
import { posix } from "node:path";
import { isDigest, type Digest } from "../base/digest.ts";
import { GantryError } from "../base/errors.ts";
import type { ImageConfig } from "./image.ts";
import { asObject, asString, asStrings, parseJsonObject } from "./json-shape.ts";

/** Far above what any image has, and little enough to be checked, kept and listed at once. */
const LIMIT_ITEMS = 10_000;
const LIMIT_TEXT = 4096;

export interface ParsedImageConfig {
  config: ImageConfig;
  /** Lowest layer first. */
  diffIds: Digest[];
}

/**
 * @param id digest of the bytes, for messages.
 * @throws data-loss for a malformed one, unimplemented for one of another operating system.
 */
export function parseImageConfig(bytes: Uint8Array, id: Digest): ParsedImageConfig {
  const document = `image config ${id}`;
  const json = parseJsonObject(document, bytes);
  const os = asString(document, "os", json["os"]) ?? "";
  if (os !== "" && os.toLowerCase() !== "linux") {
    throw new GantryError(
      "unimplemented",
      `${document}: operating system ${JSON.stringify(os)} is not linux`,
    );
  }
  const run = asObject(document, "config", json["config"]) ?? {};
  const text = (field: string): string => {
    const value = asString(document, `config.${field}`, run[field]) ?? "";
    if (value.length > LIMIT_TEXT)
      throw new GantryError("data-loss", `${document}: config.${field} has ${value.length} characters`);
    return value;
  };
  return {
    config: {
      user: text("User"),
      env: strings(document, "Env", run["Env"]),
      entrypoint: commandLine(document, "Entrypoint", run["Entrypoint"]),
      cmd: commandLine(document, "Cmd", run["Cmd"]),
      workingDir: text("WorkingDir"),
      stopSignal: text("StopSignal"),
      volumes: volumes(document, run["Volumes"]),
      labels: labels(document, run["Labels"]),
      architecture: asString(document, "architecture", json["architecture"]) ?? "",
      os: os || "linux",
    },
    diffIds: diffIds(document, json["rootfs"]),
  };
}

/** Very old images have a single string. */
function commandLine(document: string, field: string, value: unknown): string[] {
  return strings(document, field, typeof value === "string" ? [value] : value);
}

function strings(document: string, field: string, value: unknown): string[] {
  checkCount(document, field, Array.isArray(value) ? value.length : 0);
  return asStrings(document, `config.${field}`, value);
}

function checkCount(document: string, field: string, count: number): void {
  if (count > LIMIT_ITEMS)
    throw new GantryError("data-loss", `${document}: config.${field} has ${count} items`);
}

/** A volume is a path in the container; `..` cannot leave its root (CVE-2022-23648). */
function volumes(document: string, value: unknown): string[] {
  const names = Object.keys(asObject(document, "config.Volumes", value) ?? {});
  checkCount(document, "Volumes", names.length);
  const paths = names.map((path) => {
    asString(document, "config.Volumes", path);
    return posix.join("/", path).replace(/(?<=.)\/$/, "");
  });
  return [...new Set(paths)].filter((path) => path !== "/");
}

function labels(document: string, value: unknown): Record<string, string> {
  const entries = Object.entries(asObject(document, "config.Labels", value) ?? {});
  checkCount(document, "Labels", entries.length);
  // fromEntries defines properties, so a label named "__proto__" is one like any other.
  return Object.fromEntries(
    entries.map(([key, label]) => [key, asString(document, "a value of config.Labels", label) ?? ""]),
  );
}

function diffIds(document: string, value: unknown): Digest[] {
  const rootfs = asObject(document, "rootfs", value) ?? {};
  const type = asString(document, "rootfs.type", rootfs["type"]) ?? "layers";
  if (type !== "layers") throw new GantryError("data-loss", `${document}: rootfs.type is not "layers"`);
  return asStrings(document, "rootfs.diff_ids", rootfs["diff_ids"]).map((diffId, index) => {
    if (!isDigest(diffId))
      throw new GantryError("data-loss", `${document}: rootfs.diff_ids[${index}] is not a sha256 digest`);
    return diffId;
  });
}
