/**
 * Makes the path of the listening socket free, without taking it from a daemon that still answers there.
 */
import { lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { errnoCode, GantryError } from "../base/errors.ts";

/**
 * @param listen unix:///PATH.
 * @returns the path, at which nothing is and whose directory exists.
 * @throws GantryError failed-precondition when somebody answers there, or when it is not a socket.
 */
export async function claimSocketPath(listen: string): Promise<string> {
  const path = listen.slice("unix://".length);
  // The kernel's limit (sockaddr_un.sun_path, with its terminator); libuv would cut a longer one short.
  if (Buffer.byteLength(path) > 107) {
    throw new GantryError("invalid-argument", `socket path ${path} is longer than 107 bytes`);
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (!there) return path;
  if (!there.isSocket()) throw new GantryError("failed-precondition", `${path} exists and is not a socket`);
  if (await answers(path)) throw new GantryError("failed-precondition", `another process listens on ${path}`);
  unlinkSync(path);
  return path;
}

async function answers(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect(path, () => resolve(true));
  socket.on("error", (error) => {
    const code = errnoCode(error);
    if (code === "ECONNREFUSED" || code === "ENOENT") resolve(false);
    else reject(error);
  });
  return await promise.finally(() => socket.destroy());
}
