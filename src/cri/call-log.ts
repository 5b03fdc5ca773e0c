/**
 * One log line for each finished call: which RPC, on what, how long, how it ended.
 *
 * What clients poll is logged at debug level. Of requests and replies only the names in NAMED are ever read, so
 * credentials, environments and commands cannot get into a log.
 */
import { status } from "@grpc/grpc-js";
import type { Logger } from "../base/logger.ts";
import type { RpcStatus } from "./status-code.ts";

/** Polled or followed by kubelets, or run by their probes. */
const POLLED =
  /^(Version|Status|RuntimeConfig|ExecSync|ImageFsInfo|GetContainerEvents|List.*|Stream.*|.*Status|.*Stats)$/;

/** Codes that are the client's own doing or everyday events. */
const EXPECTED: ReadonlySet<status> = new Set([
  status.NOT_FOUND,
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.UNIMPLEMENTED,
]);

export function logCall(
  log: Logger,
  rpc: string,
  messages: { request: object; response?: object },
  durationMs: number,
  outcome: { status: RpcStatus; error: unknown } | undefined,
): void {
  const fields = {
    rpc,
    ...named(messages.request),
    ...named(messages.response),
    durationMs: round(durationMs),
  };
  if (!outcome) {
    if (POLLED.test(rpc)) log.debug(fields, "call");
    else log.info(fields, "call");
    return;
  }
  const { code, details } = outcome.status;
  const failed = { ...fields, code: status[code], error: details };
  if (code === status.INTERNAL) log.error({ ...failed, err: outcome.error }, "call failed");
  else if (EXPECTED.has(code) && POLLED.test(rpc)) log.debug(failed, "call failed");
  else log.warn(failed, "call failed");
}

/** Reads the ids and names of a message: its own, and those of the config and image in it. */
function named(message: object | undefined): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  if (!message) return found;
  for (const [field, name] of Object.entries(NAMED)) {
    let value: unknown = message;
    for (const part of field.split("."))
      value = (value as Record<string, unknown> | null | undefined)?.[part];
    if (typeof value === "string" && value !== "") found[name] = value;
  }
  return found;
}

const NAMED: Readonly<Record<string, string>> = {
  pod_sandbox_id: "podSandboxId",
  container_id: "containerId",
  image_ref: "imageId",
  "image.image": "image",
  "config.metadata.namespace": "namespace",
  "config.metadata.name": "name",
};

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
