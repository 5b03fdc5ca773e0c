/**
 * The shape of those members of a configuration that the kernel is told nearly as they are: scheduling, memory policy,
 * personality, clocks, cache classes, network interfaces, system call filters (config.md "Linux Process",
 * config-linux.md). For config-check.ts, which knows the rest.
 */
import { posix } from "node:path";
import * as v from "valibot";
import {
  IO_CLASSES,
  MEMORY_POLICIES,
  MEMORY_POLICY_FLAGS,
  PERSONALITIES,
  SCHEDULER_FLAGS,
  SCHEDULERS,
} from "./plan-constants.ts";
import type { Spec } from "./runtime-spec.ts";
import { FOREIGN_ARCHITECTURES, OCI_ARCHITECTURES } from "./seccomp-architecture.ts";
import { SECCOMP_ACTIONS, SECCOMP_FLAGS, SECCOMP_OPERATORS } from "./seccomp-rules.ts";

const o = v.nullish;
const int = v.pipe(v.number(), v.integer("Expected an integer"));
const int32 = v.pipe(int, v.minValue(-(2 ** 31)), v.maxValue(2 ** 31 - 1));
const natural = v.pipe(int, v.minValue(0));
const uint64 = v.union([natural, v.pipe(v.bigint(), v.minValue(0n), v.maxValue(2n ** 64n - 1n))]);
const text = v.pipe(
  v.string(),
  v.check((value) => !value.includes("\0"), "Expected no NUL"),
);
const line = v.pipe(v.string(), v.regex(/^[^\n\0]*$/, "Expected one line"));
const nameOf = (table: Readonly<Record<string, unknown>>) => v.picklist(Object.keys(table));
const list = v.pipe(v.string(), v.regex(/^[0-9, -]*$/, "Expected a list of numbers and ranges"));

export const scheduler = v.object({
  policy: nameOf(SCHEDULERS),
  nice: o(v.pipe(int32, v.minValue(-20), v.maxValue(19))),
  priority: o(v.pipe(int32, v.minValue(0), v.maxValue(99))),
  flags: o(v.array(nameOf(SCHEDULER_FLAGS))),
  runtime: o(uint64),
  deadline: o(uint64),
  period: o(uint64),
});

export const ioPriority = v.object({
  class: nameOf(IO_CLASSES),
  priority: o(v.pipe(int, v.minValue(0), v.maxValue(7))),
});

export const execCpuAffinity = v.object({ initial: o(list), final: o(list) });

export const personality = v.object({
  domain: nameOf(PERSONALITIES),
  flags: o(v.pipe(v.array(v.string()), v.maxLength(0, "Expected none, as there is no flag"))),
});

const clock = v.object({
  secs: o(int),
  nanosecs: o(v.pipe(natural, v.maxValue(999_999_999))),
});
/** The clocks that a time namespace has offsets of. */
export const timeOffsets = v.strictObject({ boottime: o(clock), monotonic: o(clock) });

export const memoryPolicy = v.object({
  mode: nameOf(MEMORY_POLICIES),
  nodes: o(list),
  flags: o(v.array(nameOf(MEMORY_POLICY_FLAGS))),
});

/** Directories of the kernel's own in a resctrl filesystem. */
const RESCTRL_NAMES = new Set([".", "..", "info", "mon_data", "mon_groups"]);

const never = (instead: string) => v.optional(v.never(`Expected ${instead} instead`));

export const intelRdtMembers = {
  closID: o(
    v.pipe(
      text,
      v.check(
        (value) => value === "/" || (!value.includes("/") && !RESCTRL_NAMES.has(value)),
        "Expected the name of a class",
      ),
    ),
  ),
  schemata: o(v.array(line)),
  l3CacheSchema: o(line),
  memBwSchema: o(v.pipe(line, v.regex(/^(MB:|$)/, "Expected MB: at the beginning"))),
  enableMonitoring: o(v.boolean()),
};

export const intelRdt = v.object({
  ...intelRdtMembers,
  // Of versions 1.1 and 1.2, which never said what they do.
  enableCMT: never("enableMonitoring"),
  enableMBM: never("enableMonitoring"),
});

/** As dev_valid_name() of the kernel has it, at most 15 bytes. */
const isInterfaceName = (name: string): boolean =>
  /^(?!\.{1,2}$)[^\s/:\0]+$/.test(name) && Buffer.byteLength(name) < 16;

const NO_INTERFACE = "Expected the name of a network interface";
export const hostInterfaceName = v.pipe(
  v.string(),
  v.check((name) => isInterfaceName(name) && !name.includes("%"), NO_INTERFACE),
);
/** In the container. A "%d" at its end is a number that the kernel finds. */
export const interfaceName = v.pipe(
  v.string(),
  v.check((name) => name === "" || (isInterfaceName(name) && /^[^%]+(%d)?$/.test(name)), NO_INTERFACE),
);

export const netDevices = v.record(hostInterfaceName, v.object({ name: o(interfaceName) }));

const action = v.picklist(SECCOMP_ACTIONS);
export const seccomp = v.object({
  defaultAction: action,
  defaultErrnoRet: o(natural),
  architectures: o(v.array(v.picklist([...OCI_ARCHITECTURES.keys(), ...FOREIGN_ARCHITECTURES]))),
  flags: o(v.array(v.picklist(SECCOMP_FLAGS))),
  listenerPath: o(
    v.pipe(
      text,
      v.check((path) => path === "" || posix.isAbsolute(path), "Expected an absolute path"),
    ),
  ),
  listenerMetadata: o(text),
  syscalls: o(
    v.array(
      v.object({
        names: v.pipe(v.array(v.string()), v.minLength(1, "Expected at least one name")),
        action,
        errnoRet: o(natural),
        args: o(
          v.array(
            v.object({
              index: v.pipe(natural, v.maxValue(5)),
              value: uint64,
              valueTwo: o(uint64),
              op: v.picklist(SECCOMP_OPERATORS),
            }),
          ),
        ),
      }),
    ),
  ),
});

/** What makes no sense together; `fail` gets the member's path and the reason. */
export function checkKernelFields(spec: Spec, fail: (message: string) => never): void {
  const { linux, process } = spec;
  const types = process?.rlimits?.map(({ type }) => type) ?? [];
  const twice = types.findIndex((type, index) => types.indexOf(type) !== index);
  if (twice >= 0) fail(`process.rlimits.${twice}.type: ${types[twice]} is there twice`);
  const own = (type: string): boolean =>
    linux?.namespaces?.some((namespace) => namespace.type === type) ?? false;
  if (Object.keys(linux?.netDevices ?? {}).length > 0 && !own("network"))
    fail("linux.netDevices: needs a network namespace");
  if (Object.keys(linux?.timeOffsets ?? {}).length > 0) {
    const time = linux?.namespaces?.find(({ type }) => type === "time");
    if (!time || time.path) fail("linux.timeOffsets: needs a new time namespace");
  }
  const { listenerPath, listenerMetadata } = linux?.seccomp ?? {};
  if (listenerMetadata && !listenerPath) fail("linux.seccomp.listenerMetadata: needs listenerPath");
  const { policy = "", nice, priority } = process?.scheduler ?? {};
  const realTime = policy === "SCHED_FIFO" || policy === "SCHED_RR";
  if (nice && (realTime || policy === "SCHED_DEADLINE")) fail(`process.scheduler.nice: ${policy} has none`);
  if (priority && !realTime) fail(`process.scheduler.priority: ${policy} has none`);
}
