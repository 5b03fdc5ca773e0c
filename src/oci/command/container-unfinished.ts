/**
 * What a `create` has made before the container is stored: written beside where the container will be, so that a forced
 * `delete` ends what a `create` has left that was killed, or whose launcher goes on without it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoCode } from "../../base/errors.ts";
import type { Linux } from "../runtime-spec.ts";
import { containerDirectory } from "./container-state.ts";

export interface UnfinishedContainer {
  /** A control group that this container has made. */
  cgroupPath: string;
  intelRdt: Linux["intelRdt"];
}

const path = (root: string, id: string): string => join(containerDirectory(root, id), "creating.json");

export function storeUnfinished(root: string, id: string, unfinished: UnfinishedContainer): void {
  writeFileSync(path(root, id), JSON.stringify(unfinished), { mode: 0o600 });
}

/** Undefined where there is none, or where it was not written whole: then nothing had been started. */
export function loadUnfinished(root: string, id: string): UnfinishedContainer | undefined {
  try {
    return JSON.parse(readFileSync(path(root, id), "utf8")) as UnfinishedContainer;
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
