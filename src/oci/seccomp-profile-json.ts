/**
 * Reads a seccomp profile as operators keep them in files: the OCI's form, and the wider one of the containers
 * world, where rules depend on capabilities, architecture and kernel ("includes", "excludes") and architectures come
 * as a map. Both give the OCI's form for one container.
 */
import { release } from "node:os";
import * as v from "valibot";
import { GantryError, errorMessage } from "../base/errors.ts";
import { parseExactJson } from "./exact-json.ts";
import type { Seccomp, SeccompRule } from "./runtime-spec.ts";
import { NATIVE_ARCHITECTURE, OCI_ARCHITECTURES } from "./seccomp-architecture.ts";

const MAX_TEXT = 4 << 20;

const integer = v.union([v.pipe(v.number(), v.integer()), v.bigint()]);
const strings = v.nullish(v.array(v.string()), []);
const condition = v.nullish(
  v.object({ caps: strings, arches: strings, minKernel: v.nullish(v.string(), "") }),
);
const argument = v.object({
  index: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(5)),
  value: integer,
  valueTwo: v.nullish(integer, 0),
  op: v.string(),
});
const profileSchema = v.object({
  defaultAction: v.string(),
  defaultErrnoRet: v.nullish(v.number()),
  architectures: strings,
  archMap: v.nullish(v.array(v.object({ architecture: v.string(), subArchitectures: strings })), []),
  flags: strings,
  listenerPath: v.nullish(v.string()),
  listenerMetadata: v.nullish(v.string()),
  syscalls: v.nullish(
    v.array(
      v.object({
        name: v.nullish(v.string()),
        names: strings,
        action: v.string(),
        errnoRet: v.nullish(v.number()),
        args: v.nullish(v.array(argument), []),
        includes: condition,
        excludes: condition,
      }),
    ),
    [],
  ),
});

export interface ProfileContext {
  /** Of the container, with prefix. */
  capabilities: readonly string[];
  /** "major.minor…"; this kernel unless given. */
  kernel?: string;
}

/** What profiles call this machine. */
const MACHINE_NAMES: ReadonlySet<string> = new Set(
  NATIVE_ARCHITECTURE === "aarch64" ? ["arm64", "aarch64"] : ["amd64", "x86_64"],
);

/**
 * @param name of the profile, for messages.
 * @throws GantryError invalid-argument for malformed JSON, with the place of what is wrong.
 */
export function parseSeccompProfile(text: string, name: string, context: ProfileContext): Seccomp {
  if (text.length > MAX_TEXT)
    throw new GantryError("invalid-argument", `seccomp profile ${name}: larger than ${MAX_TEXT} bytes`);
  let json: unknown;
  try {
    json = parseExactJson(text);
  } catch (error) {
    throw new GantryError("invalid-argument", `seccomp profile ${name}: ${errorMessage(error)}`);
  }
  const checked = v.safeParse(profileSchema, json);
  if (!checked.success) {
    const [issue] = checked.issues;
    throw new GantryError(
      "invalid-argument",
      `seccomp profile ${name}: ${v.getDotPath(issue) ?? ""}: ${issue.message}`,
    );
  }
  const profile = checked.output;
  const applies = (rule: (typeof profile.syscalls)[number]): boolean =>
    includes(rule.includes, context) && !excludes(rule.excludes, context);
  const result: Seccomp = {
    defaultAction: profile.defaultAction,
    architectures: [...profile.architectures, ...mappedArchitectures(profile.archMap)],
    syscalls: profile.syscalls.filter(applies).map((rule): SeccompRule => ({
      names: rule.name ? [rule.name, ...rule.names] : rule.names,
      action: rule.action,
      ...(rule.errnoRet == null ? {} : { errnoRet: rule.errnoRet }),
      ...(rule.args.length === 0 ? {} : { args: rule.args }),
    })),
  };
  if (profile.defaultErrnoRet != null) result.defaultErrnoRet = profile.defaultErrnoRet;
  if (profile.flags.length > 0) result.flags = profile.flags;
  if (profile.listenerPath) result.listenerPath = profile.listenerPath;
  if (profile.listenerMetadata) result.listenerMetadata = profile.listenerMetadata;
  return result;
}

type Condition = v.InferOutput<typeof condition>;

/** All of its parts hold. */
function includes(wanted: Condition, { capabilities, kernel = release() }: ProfileContext): boolean {
  if (!wanted) return true;
  if (wanted.arches.length > 0 && !wanted.arches.some((name) => MACHINE_NAMES.has(name))) return false;
  if (!wanted.caps.every((name) => capabilities.includes(name))) return false;
  return wanted.minKernel === "" || kernelAtLeast(kernel, wanted.minKernel);
}

/** Any of its parts holds. */
function excludes(unwanted: Condition, { capabilities, kernel = release() }: ProfileContext): boolean {
  if (!unwanted) return false;
  if (unwanted.arches.some((name) => MACHINE_NAMES.has(name))) return true;
  if (unwanted.caps.some((name) => capabilities.includes(name))) return true;
  return unwanted.minKernel !== "" && kernelAtLeast(kernel, unwanted.minKernel);
}

function mappedArchitectures(map: readonly { architecture: string; subArchitectures: string[] }[]): string[] {
  return map
    .filter(({ architecture }) => OCI_ARCHITECTURES.get(architecture) === NATIVE_ARCHITECTURE)
    .flatMap(({ architecture, subArchitectures }) => [architecture, ...subArchitectures]);
}

/** Compares "major.minor", as profiles name them, with what uname says. */
export function kernelAtLeast(kernel: string, wanted: string): boolean {
  const parse = (text: string): [number, number] => {
    const [, major = "0", minor = "0"] = /^(\d+)(?:\.(\d+))?/.exec(text) ?? [];
    return [Number(major), Number(minor)];
  };
  const [[major, minor], [wantedMajor, wantedMinor]] = [parse(kernel), parse(wanted)];
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
