/** A CRI server on a socket of its own in a temporary directory, and a client of it, for one test. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, type Logger } from "../base/logger.ts";
import type { Engine } from "../engine/engine.ts";
import { criClient, type CriClient } from "./client.ts";
import { createCriServer, type CriServer } from "./server.ts";
import { createStreamingServer } from "./streaming/streaming-server.ts";

export interface ServedEngine extends AsyncDisposable {
  client: CriClient;
  server: CriServer;
  socketPath: string;
}

/** Use with `await using`. */
export async function serveForTest(
  engine: Engine,
  { log = silentLogger, maxMessageBytes }: { log?: Logger; maxMessageBytes?: number } = {},
): Promise<ServedEngine> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-cri-"));
  const socketPath = join(directory, "cri.sock");
  const streaming = createStreamingServer({
    engine,
    log,
    address: "127.0.0.1",
    port: 0,
    tls: undefined,
    idleTimeoutMs: 60_000,
    creationTimeoutMs: 10_000,
    maxConnections: 100,
  });
  const server = createCriServer({
    engine,
    streaming,
    log,
    version: "9.8.7",
    ...(maxMessageBytes === undefined ? {} : { maxMessageBytes }),
  });
  await server.listen(socketPath);
  const client = criClient(`unix://${socketPath}`);
  return {
    client,
    server,
    socketPath,
    [Symbol.asyncDispose]: async () => {
      client.close();
      server.close();
      await streaming.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
