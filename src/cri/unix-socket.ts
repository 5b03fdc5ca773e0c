/** Making the path of a listening unix socket free: only of a socket that nobody listens on any more. */
import { lstat, unlink } from "node:fs/promises";
import { createConnection } from "node:net";
import { errnoCode, GantryError, wrapError } from "../base/errors.ts";

/** sun_path of unix(7), less its terminating zero. */
const MAX_PATH_BYTES = 107;

/**
 * Removes the socket that a killed daemon left at the path.
 * @throws already-exists if someone listens there, failed-precondition if it is not a socket, invalid-argument for a
 * path that no socket can have.
 */
export async function freeSocketPath(path: string): Promise<void> {
  if (!path.startsWith("/") || path.includes("\0") || Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw new GantryError(
      "invalid-argument",
      `socket ${JSON.stringify(path)} is not an absolute path of at most ${MAX_PATH_BYTES} bytes`,
    );
  try {
    if (!(await lstat(path)).isSocket())
      throw new GantryError("failed-precondition", `"${path}" exists and is not a socket`);
    if (await answers(path)) throw new GantryError("already-exists", `another process listens on "${path}"`);
    await unlink(path);
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return;
    throw error instanceof GantryError ? error : wrapError(`socket "${path}"`, error);
  }
}

/** Whether someone accepts connections there. A full backlog is a yes. */
async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve, reject) => {
    const connection = createConnection(path);
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", (error) => {
      if (errnoCode(error) === "ECONNREFUSED") resolve(false);
      else if (errnoCode(error) === "EAGAIN") resolve(true);
      else reject(error);
    });
  });
}
