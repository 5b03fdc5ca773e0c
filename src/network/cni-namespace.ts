/**
 * Network namespaces of pods that are gone, kept until their plugins have detached them: several plugins learn from
 * the namespace what to take back on the host. The pin may go meanwhile; a descriptor keeps what it pinned.
 */
import { closeSync, constants, openSync } from "node:fs";
import { getNamespaceInode } from "../native/namespace.ts";

export class CniNamespaces {
  readonly #held = new Map<string, number>();

  /** Keeps the namespace of this path, if it is there. */
  hold(path: string): void {
    if (this.#held.has(path) || !isNamespace(path)) return;
    this.#held.set(path, openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  }

  release(path: string): void {
    const fd = this.#held.get(path);
    if (fd !== undefined) closeSync(fd);
    this.#held.delete(path);
  }

  /** A path by which plugins reach it now; empty where it is gone, as the specification has it for DEL. */
  reach(path: string): string {
    if (isNamespace(path)) return path;
    const fd = this.#held.get(path);
    return fd === undefined ? "" : `/proc/${process.pid}/fd/${fd}`;
  }
}

function isNamespace(path: string): boolean {
  try {
    getNamespaceInode(path);
    return true;
  } catch {
    return false;
  }
}
