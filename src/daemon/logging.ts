/**
 * The daemon's log: pino, as JSON or for people, on standard error.
 *
 * Writing is synchronous, as the last line before a crash is the one that matters. Fields that may hold a secret
 * are blanked whatever the caller does, one level deep; that is a net, not a licence to log them.
 */
import { pino, type DestinationStream } from "pino";
import type { Logger } from "../base/logger.ts";
import type { Config } from "./config-schema.ts";

const SECRET_FIELDS = [
  "auth",
  "password",
  "identityToken",
  "registryToken",
  "token",
  "authorization",
  "cookie",
];

/** @param destination standard error, unless a test wants to read what is written. */
export async function createLogger(
  settings: Config["log"],
  destination?: DestinationStream,
): Promise<Logger> {
  const pretty = settings.format === "pretty" || (settings.format === "auto" && process.stderr.isTTY);
  const raw = destination ?? pino.destination({ fd: 2, sync: true });
  const log: Logger = pino(
    {
      level: settings.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: "…" },
    },
    pretty ? { write: await prettyWriter(raw) } : raw,
  );
  return log;
}

/** Loaded only where it is used, as it takes as much memory as pino itself. */
async function prettyWriter(raw: DestinationStream): Promise<(line: string) => void> {
  const { prettyFactory } = await import("pino-pretty");
  const format = prettyFactory({
    colorize: process.stderr.isTTY && process.env["NO_COLOR"] === undefined,
    translateTime: "SYS:HH:MM:ss.l",
    singleLine: true,
  });
  return (line) => raw.write(format(line));
}
