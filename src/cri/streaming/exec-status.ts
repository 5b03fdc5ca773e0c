/**
 * How an exec or attach ended, as its client is told on the error stream: from protocol version 4 on a Status object
 * of the Kubernetes API, before it a line of text, or nothing for success.
 */
import { errorMessage } from "../../base/errors.ts";

export type ExecOutcome = { exitCode: number } | { error: unknown };

export function statusText(outcome: ExecOutcome, protocolVersion: number): string {
  if ("exitCode" in outcome && outcome.exitCode === 0)
    return protocolVersion >= 4 ? JSON.stringify({ metadata: {}, status: "Success" }) : "";
  const message =
    "exitCode" in outcome
      ? `command terminated with non-zero exit code: exit code ${outcome.exitCode}`
      : errorMessage(outcome.error);
  if (protocolVersion < 4) return message;
  const failure = { metadata: {}, status: "Failure", message };
  if ("exitCode" in outcome) {
    const causes = [{ reason: "ExitCode", message: String(outcome.exitCode) }];
    return JSON.stringify({ ...failure, reason: "NonZeroExitCode", details: { causes } });
  }
  return JSON.stringify({
    ...failure,
    reason: "InternalError",
    details: { causes: [{ message }] },
    code: 500,
  });
}
