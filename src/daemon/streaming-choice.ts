/** The streaming server as the configuration wants it, with its certificate. */
import { readFileSync } from "node:fs";
import { wrapError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { type CertifiedKey, makeCertificate } from "../cri/streaming/self-made-certificate.ts";
import { createStreamingServer, type StreamingServer } from "../cri/streaming/streaming-server.ts";
import type { Engine } from "../engine/engine.ts";
import type { Config } from "./config-schema.ts";

export function createStreaming(config: Config, engine: Engine, log: Logger): StreamingServer {
  const { address, port, idle_timeout_seconds, creation_timeout_seconds, max_connections } = config.streaming;
  return createStreamingServer({
    engine,
    log,
    address,
    port,
    tls: certifiedKey(config.streaming),
    idleTimeoutMs: idle_timeout_seconds * 1000,
    creationTimeoutMs: creation_timeout_seconds * 1000,
    maxConnections: max_connections,
  });
}

/** Read, or made, when the server starts. */
function certifiedKey(settings: Config["streaming"]): (() => CertifiedKey) | undefined {
  switch (settings.tls) {
    case "off":
      return undefined;
    case "self-made":
      return () => makeCertificate("gantryd", [settings.address, "localhost"]);
    case "files":
      return () => {
        try {
          return {
            certificate: readFileSync(settings.certificate_file, "utf8"),
            key: readFileSync(settings.key_file, "utf8"),
          };
        } catch (error) {
          throw wrapError("streaming.tls", error, "failed-precondition");
        }
      };
  }
}
