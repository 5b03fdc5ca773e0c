/** The socket at which plugins connect by themselves. Who may is decided by the modes of socket and directory. */
import { mkdir } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { wrapError } from "../base/errors.ts";

/** Plugins connected at once, registered or not. */
const MAX_CONNECTIONS = 128;

export interface PluginServer {
  close(): Promise<void>;
}

/**
 * @param freePath makes the path free where nobody listens there.
 * @throws already-exists where another process listens there.
 */
export async function servePlugins(
  path: string,
  freePath: (path: string) => Promise<void>,
  onConnection: (socket: Socket) => void,
): Promise<PluginServer> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await freePath(path);
  const server = createServer(onConnection);
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(wrapError(`socket "${path}"`, error, "unavailable")));
    // The process's umask gives the socket to its owner alone.
    server.listen(path, resolve);
  });
  return { close: () => closeServer(server) };
}

/** Removes the socket; its connections are closed by whom they were given to. */
async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
