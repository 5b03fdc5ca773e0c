/**
 * What the native half reports about a failed plan, turned into words: which step failed on which path, why, and
 * what kind of error that is for a caller. The facts are those of `struct plan_error` in native/executor/launch.h.
 */
import { getSystemErrorMap } from "node:util";
import { errorMessage, GantryError, type ErrorKind } from "../base/errors.ts";
import { decodePlan, type PlanOperation } from "./plan-decode.ts";
import { operationField } from "./plan-explain-fields.ts";
import { hookWords } from "./plan-hooks.ts";

export interface PlanError {
  /** Index in the plan's list of operations, -1 before the first. */
  operation: number;
  errno: number;
  /** "openat2"; of a hook also "hook exit 3" or "hook signal 9". */
  syscall: string;
  path: string;
  /** The end of what a failing hook has said, as it came. */
  said?: string | undefined;
}

/** What `gantry-shim launch` writes to its result descriptor. */
export type LaunchResult = { pid: number } | { error: PlanError };

const RESULT_MAGIC = 0x31524c47;
/** Without what a hook has said, which comes after it. */
export const LAUNCH_RESULT_BYTES = 304;
/** The same. */
export const PLAN_ERROR_BYTES = 296;
/** With it: PLAN_SAID_BYTES of native/executor/launch.h. */
export const LONGEST_PLAN_ERROR_BYTES = PLAN_ERROR_BYTES + 1024;

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.subarray(0, end < 0 ? bytes.length : end).toString();
}

/** @throws data-loss when the bytes are not a whole result (the launcher died). */
export function decodeLaunchResult(bytes: Uint8Array): LaunchResult {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (buffer.length < LAUNCH_RESULT_BYTES || buffer.readUInt32LE(0) !== RESULT_MAGIC)
    throw new GantryError("data-loss", "the launcher ended without a result");
  const pid = buffer.readInt32LE(4);
  return pid > 0 ? { pid } : { error: decodePlanError(buffer.subarray(8)) };
}

/** `struct plan_error`, of which there are at least PLAN_ERROR_BYTES. */
export function decodePlanError(buffer: Buffer): PlanError {
  const said = text(buffer.subarray(PLAN_ERROR_BYTES));
  return {
    ...(said && { said }),
    operation: buffer.readInt32LE(0),
    errno: buffer.readInt32LE(4),
    syscall: text(buffer.subarray(8, 40)),
    path: text(buffer.subarray(40, PLAN_ERROR_BYTES)),
  };
}

function errnoName(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[0] ?? `errno ${errno}`;
}

function errnoText(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[1] ?? `errno ${errno}`;
}

const KINDS: Readonly<Record<string, ErrorKind>> = {
  EACCES: "permission-denied",
  EPERM: "permission-denied",
  ENOMEM: "resource-exhausted",
  EAGAIN: "resource-exhausted",
  EMFILE: "resource-exhausted",
  ENFILE: "resource-exhausted",
  ENOSPC: "resource-exhausted",
};

/** The words that people know from other runtimes, and that the kubelet's users look for. */
function explainCommand(error: PlanError): GantryError {
  const name = JSON.stringify(error.path);
  const reason = errnoName(error.errno);
  const isPath = error.path.includes("/");
  if (reason === "ENOENT" && !isPath) {
    return new GantryError("failed-precondition", `exec: ${name}: executable file not found in $PATH`);
  }
  if (reason === "ENOENT") {
    return new GantryError(
      "failed-precondition",
      `exec: ${name}: stat ${error.path}: no such file or directory`,
    );
  }
  if (reason === "ENOEXEC") return new GantryError("failed-precondition", `exec: ${name}: exec format error`);
  return new GantryError("failed-precondition", `exec: ${name}: ${errnoText(error.errno)}`);
}

/** mount_setattr(2) with MOUNT_ATTR_IDMAP. */
const ID_MAP_CALL = "mount_setattr idmap";

function explainIdMap({ errno, path }: PlanError): string {
  switch (errnoName(errno)) {
    case "ENOSYS":
      return "this kernel has no id-mapped mounts";
    case "EINVAL":
      return `the filesystem of ${path} cannot be id-mapped by this kernel`;
    case "EPERM":
      return `${path} cannot be id-mapped: it is id-mapped already, or of a filesystem of another user namespace`;
    default:
      return `${path} cannot be id-mapped: ${errnoName(errno)}`;
  }
}

/** A command of an external runtime that has not ended by itself. */
function explainRuntime({ syscall, errno, path }: PlanError, { timeoutMs }: { timeoutMs: number }): string {
  switch (syscall) {
    case "runtime timeout":
      return `not finished after ${timeoutMs / 1000} s`;
    case "runtime terminal":
      return "it has handed over no terminal";
    case "runtime execve":
      return `${path}: ${errnoName(errno)}`;
    default:
      return `${syscall} ${path}: ${errnoName(errno)}`;
  }
}

/** What the operation was doing, as a noun phrase: `mount /proc`. */
function subject(operation: PlanOperation | undefined): string {
  if (!operation) return "start process";
  switch (operation.name) {
    case "mount":
      return `mount ${operation.values.type} on ${operation.values.target}`;
    case "bind":
      return `bind ${operation.values.source} on ${operation.values.target}`;
    case "remount":
      return `remount ${operation.values.target}`;
    case "imageVolume":
      return `image volume on ${operation.values.target}`;
    case "prepareBind":
    case "keepSource":
      return `bind ${operation.values.source} on ${operation.values.target}`;
    case "attach":
      return `bind on ${operation.values.target}`;
    case "idMap":
    case "joinIdMap":
      return "enter user namespace";
    case "mapDirectory":
    case "rootAttach":
    case "rootOverlay":
    case "rootBind":
      return "mount root filesystem";
    case "device":
      return `make device ${operation.values.directory.replace(/^\/$/, "")}/${operation.values.name}`;
    case "sysctl":
      return `set sysctl ${operation.values.path.replaceAll("/", ".")}`;
    case "maskPath":
    case "readonlyPath":
      return `${operation.name === "maskPath" ? "mask" : "make read-only"} ${operation.values.path}`;
    case "joinNamespace":
      return `join namespace ${operation.values.path}`;
    case "workingDirectory":
    case "makeDirectory":
      return `working directory ${operation.values.path}`;
    case "hook":
    case "parentHook":
      return `hook ${operation.values.path}`;
    case "runtimeCommand":
      return operation.values.name;
    case "adopt":
      return "process of the external runtime";
    case "user":
      return `set user ${operation.values.uid}:${operation.values.gid}`;
    default:
      return operation.name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  }
}

function kindOf(operation: PlanOperation | undefined, error: PlanError): ErrorKind {
  const reason = errnoName(error.errno);
  /* A path that somebody asked for is not there: a host directory, a namespace. */
  const name = operation?.name;
  const asked =
    name === "bind" || name === "prepareBind" || name === "keepSource" || name === "joinNamespace";
  if (asked && (reason === "ENOENT" || reason === "ENOTDIR")) return "failed-precondition";
  if (operation && operationField(operation)) return KINDS[reason] ?? "failed-precondition";
  if (name === "runtimeCommand" && reason === "ETIMEDOUT") return "deadline-exceeded";
  if (name === "hook" || name === "parentHook" || name === "runtimeCommand") return "failed-precondition";
  return KINDS[reason] ?? "internal";
}

/** What failed behind the start gate, where the plan is not known any more: a startContainer hook, or the command. */
export function explainLateError(error: PlanError): GantryError {
  if (error.syscall === "execve") return explainCommand(error);
  const hook = /^hook (.*)$/.exec(error.syscall)?.[1];
  if (hook === undefined)
    return new GantryError("internal", `${error.syscall} ${error.path}: ${errnoName(error.errno)}`);
  const ran = /^(exit|signal) (\d+)$/.exec(hook);
  const reason = ran
    ? `${ran[1] === "exit" ? "exit status" : "killed by signal"} ${ran[2]}`
    : errnoName(error.errno);
  return new GantryError(
    "failed-precondition",
    `startContainer hook ${error.path}: ${reason}${hookWords(error.said)}`,
  );
}

/** The error for a caller, with the failing step in words: `exec: "foo": executable file not found in $PATH`. */
export function explainPlanError(plan: Uint8Array, error: PlanError): GantryError {
  let operations: PlanOperation[] = [];
  try {
    operations = decodePlan(plan);
  } catch (cause) {
    return new GantryError("internal", `${error.syscall}: ${errnoName(error.errno)}: ${errorMessage(cause)}`);
  }
  if (error.syscall === "plan") {
    const what =
      errnoName(error.errno) === "EPROTO" ? "is of another build than gantry-shim" : "is malformed";
    return new GantryError("internal", `plan ${what} (operation ${error.operation})`);
  }
  if (error.syscall === "process died")
    return new GantryError("internal", "the process died while it was being made");
  const operation = operations[error.operation];
  const isCommand = operation?.name === "exec" || operation?.name === "checkCommand";
  if (isCommand && error.syscall === "execve") return explainCommand(error);
  const what = subject(operation);
  const where = error.path !== "" && !what.includes(error.path) ? ` ${error.path}` : "";
  if (error.syscall === ID_MAP_CALL)
    return new GantryError("failed-precondition", `${what}: ${explainIdMap(error)}`);
  const field = operation && operationField(operation);
  if (field) {
    const said = field.reasons[errnoName(error.errno)];
    const call = `${error.syscall}: ${errnoName(error.errno)}`;
    return new GantryError(kindOf(operation, error), `${field.path}: ${said ? `${said} (${call})` : call}`);
  }
  const ran = /^(?:hook|runtime) (exit|signal) (\d+)$/.exec(error.syscall);
  const reason = ran
    ? `${ran[1] === "exit" ? "exit status" : "killed by signal"} ${ran[2]}`
    : errnoName(error.errno);
  if (operation?.name === "runtimeCommand" && !ran)
    return new GantryError(kindOf(operation, error), `${what}: ${explainRuntime(error, operation.values)}`);
  const call = ran || error.syscall.startsWith("hook ") ? "" : `${error.syscall}${where}: `;
  return new GantryError(kindOf(operation, error), `${what}: ${call}${reason}${hookWords(error.said)}`);
}
