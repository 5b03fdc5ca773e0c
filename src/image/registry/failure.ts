/**
 * What can go wrong with a request to a registry, as errors with a kind, a host, and whether trying again may
 * help. Messages name the host and never a URL: a signed URL's query is a credential.
 */
import { errnoCode, errorMessage, GantryError, type ErrorKind } from "../../base/errors.ts";

export interface FailureDetails {
  /** HTTP status; undefined where there was no answer. */
  status?: number;
  /** The same request may succeed later. */
  transient?: boolean;
  /** What the host asked to wait. */
  retryAfterMs?: number;
  /** The host could not be reached at all. */
  unreachable?: boolean;
  /** The host took the request and then sent nothing for too long. */
  stalled?: boolean;
  cause?: unknown;
}

export class RegistryFailure extends GantryError {
  readonly status: number | undefined;
  readonly transient: boolean;
  readonly retryAfterMs: number | undefined;
  readonly unreachable: boolean;
  readonly stalled: boolean;

  constructor(kind: ErrorKind, message: string, details: FailureDetails = {}) {
    super(kind, message, { cause: details.cause });
    this.name = "RegistryFailure";
    this.status = details.status;
    this.transient = details.transient ?? false;
    this.retryAfterMs = details.retryAfterMs;
    this.unreachable = details.unreachable ?? false;
    this.stalled = details.stalled ?? false;
  }
}

/** Whether the host let a request hang: another host is the better choice, where there is one. */
export function isStalled(error: unknown): boolean {
  return error instanceof RegistryFailure && error.stalled;
}

/** The failure that an HTTP status means. @param note the registry's own words, already cleaned; may be empty. */
export function statusFailure(
  host: string,
  status: number,
  note: string,
  retryAfter: string | undefined,
): RegistryFailure {
  const message = `registry ${host} answered ${status}${note === "" ? "" : ` (${note})`}`;
  if (status === 401) return new RegistryFailure("unauthenticated", message, { status });
  if (status === 403) return new RegistryFailure("permission-denied", message, { status });
  if (status === 404) return new RegistryFailure("not-found", message, { status });
  const wait = parseRetryAfter(retryAfter);
  const details = { status, ...(wait === undefined ? {} : { retryAfterMs: wait }) };
  if (status === 429)
    return new RegistryFailure("resource-exhausted", message, { ...details, transient: true });
  const transient = status >= 500 || status === 408;
  return new RegistryFailure("unavailable", message, { ...details, transient });
}

/** Seconds, or a date (RFC 9110, section 10.2.3). */
function parseRetryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const wait = /^[0-9]{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined;
}

const UNREACHABLE = new Set([
  "ENOTFOUND",
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "EAI_AGAIN",
]);

const STALLED = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]);

/** The failure of a request that got no answer, or not all of it. */
export function connectionFailure(host: string, error: unknown): RegistryFailure {
  if (error instanceof RegistryFailure) return error;
  const code = deepCode(error) ?? "";
  const unreachable = UNREACHABLE.has(code);
  const tls =
    /^(?:ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|HPE_|UND_ERR_PRX)/.test(code) ||
    code === "EPROTO";
  const reason = deepMessage(error);
  return new RegistryFailure("unavailable", `registry ${host}: ${reason}`, {
    transient: !tls,
    unreachable,
    stalled: STALLED.has(code),
    cause: error,
  });
}

/** The address families that were tried one after the other come as one AggregateError. */
function deepCode(error: unknown): string | undefined {
  const code = errnoCode(error);
  if (code !== undefined && code !== "UND_ERR_SOCKET") return code;
  const inner: unknown =
    error instanceof AggregateError ? error.errors[0] : error instanceof Error ? error.cause : undefined;
  return inner === undefined ? code : (deepCode(inner) ?? code);
}

function deepMessage(error: unknown): string {
  const message = errorMessage(error);
  if (message !== "") return message;
  return error instanceof AggregateError
    ? error.errors.map(errorMessage).join("; ")
    : (errnoCode(error) ?? "connection failed");
}
