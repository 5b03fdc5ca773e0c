/**
 * Checks the text of a config.json: that it is what runtime-spec.ts says, with the path of what is not
 * (`process.user.uid: …`), and that its parts make sense together. What the kernel alone can judge is left to it.
 */
import { posix } from "node:path";
import * as v from "valibot";
import { errorMessage, GantryError } from "../base/errors.ts";
import { capabilityNumber } from "./capabilities.ts";
import { listForObject } from "./config-lists.ts";
import * as kernel from "./config-kernel-fields.ts";
import { parseExactJson } from "./exact-json.ts";
import { jsonFault } from "./json-fault.ts";
import { NAMESPACE_TYPES, type Process, type Resources, type Spec } from "./runtime-spec.ts";

const MAX_TEXT = 16 << 20;
const PROPAGATIONS = ["shared", "slave", "private", "unbindable"];
const MAX_ID = 2 ** 32 - 2;

const int = v.pipe(v.number(), v.integer("Expected an integer"));
const natural = v.pipe(int, v.minValue(0));
const id = v.pipe(natural, v.maxValue(MAX_ID));
const text = v.pipe(
  v.string(),
  v.check((value) => !value.includes("\0"), "Expected no NUL"),
);
/** MAX_ARG_STRLEN of the kernel, without the NUL. */
const MAX_ARGUMENT_BYTES = 131_071;
const argument = v.pipe(
  text,
  v.check(
    (value) => Buffer.byteLength(value) <= MAX_ARGUMENT_BYTES,
    `Expected at most ${MAX_ARGUMENT_BYTES} bytes`,
  ),
);
const absolute = v.pipe(
  text,
  v.check((value) => value.startsWith("/"), "Expected an absolute path"),
);
const o = v.nullish;
const strings = o(v.array(text));
const stringMap = o(v.record(v.string(), v.string()));

const capabilities = o(
  v.array(
    v.pipe(
      text,
      v.rawCheck(({ dataset, addIssue }) => {
        if (!dataset.typed) return;
        try {
          capabilityNumber(dataset.value);
        } catch (error) {
          addIssue({ message: errorMessage(error) });
        }
      }),
    ),
  ),
);
const mappings = o(v.array(v.object({ containerID: id, hostID: id, size: v.pipe(int, v.minValue(1)) })));
const hooks = o(
  v.array(v.object({ path: absolute, args: strings, env: strings, timeout: o(v.pipe(int, v.minValue(1))) })),
);
/** No limit is 2^64-1, which a number cannot hold. */
const limit = v.union([int, v.bigint()], "Expected an integer");
const rlimit = v.object({
  type: v.pipe(
    v.string(),
    v.regex(
      /^RLIMIT_(AS|CORE|CPU|DATA|FSIZE|LOCKS|MEMLOCK|MSGQUEUE|NICE|NOFILE|NPROC|RSS|RTPRIO|RTTIME|SIGPENDING|STACK)$/,
    ),
  ),
  hard: limit,
  soft: limit,
});

const processSchema = v.object({
  terminal: o(v.boolean()),
  consoleSize: o(v.object({ height: natural, width: natural })),
  user: v.object({ uid: id, gid: id, umask: o(natural), additionalGids: o(v.array(id)) }),
  args: o(v.array(argument)),
  env: o(v.array(argument)),
  cwd: absolute,
  capabilities: o(
    v.object({
      bounding: capabilities,
      effective: capabilities,
      inheritable: capabilities,
      permitted: capabilities,
      ambient: capabilities,
    }),
  ),
  rlimits: o(v.array(rlimit)),
  noNewPrivileges: o(v.boolean()),
  apparmorProfile: o(text),
  selinuxLabel: o(text),
  oomScoreAdj: o(v.pipe(int, v.minValue(-1000), v.maxValue(1000))),
  scheduler: o(kernel.scheduler),
  ioPriority: o(kernel.ioPriority),
  execCPUAffinity: o(kernel.execCpuAffinity),
});

const device = v.object({
  type: v.picklist(["c", "b", "u", "p"]),
  path: absolute,
  major: o(int),
  minor: o(int),
  fileMode: o(natural),
  uid: o(id),
  gid: o(id),
});

const throttles = o(v.array(v.object({ major: int, minor: int, rate: natural })));

const resources = v.object({
  devices: o(
    v.array(v.object({ allow: v.boolean(), type: o(text), major: o(int), minor: o(int), access: o(text) })),
  ),
  memory: o(
    v.object({
      limit: o(int),
      reservation: o(int),
      swap: o(int),
      kernel: o(int),
      kernelTCP: o(int),
      swappiness: o(v.pipe(natural, v.maxValue(200))),
      disableOOMKiller: o(v.boolean()),
      useHierarchy: o(v.boolean()),
      checkBeforeUpdate: o(v.boolean()),
    }),
  ),
  cpu: o(
    v.object({
      shares: o(natural),
      quota: o(int),
      burst: o(natural),
      period: o(natural),
      realtimeRuntime: o(int),
      realtimePeriod: o(natural),
      cpus: o(text),
      mems: o(text),
      idle: o(int),
    }),
  ),
  pids: o(v.object({ limit: o(int) })),
  hugepageLimits: o(v.array(v.object({ pageSize: text, limit: natural }))),
  blockIO: o(
    v.object({
      weight: o(natural),
      leafWeight: o(natural),
      weightDevice: o(
        v.array(v.object({ major: int, minor: int, weight: o(natural), leafWeight: o(natural) })),
      ),
      throttleReadBpsDevice: throttles,
      throttleWriteBpsDevice: throttles,
      throttleReadIOPSDevice: throttles,
      throttleWriteIOPSDevice: throttles,
    }),
  ),
  network: o(
    v.object({
      classID: o(v.pipe(natural, v.maxValue(2 ** 32 - 1))),
      priorities: o(v.array(v.object({ name: text, priority: natural }))),
    }),
  ),
  rdma: o(v.record(text, v.object({ hcaHandles: o(natural), hcaObjects: o(natural) }))),
  unified: stringMap,
});

const specSchema = v.object({
  ociVersion: v.pipe(
    v.string(),
    v.regex(/^1\.\d+\.\d+([-+].*)?$/, "Expected version 1 of the specification"),
  ),
  process: o(processSchema),
  root: v.object({ path: v.pipe(text, v.minLength(1)), readonly: o(v.boolean()) }),
  hostname: o(text),
  domainname: o(text),
  mounts: o(
    v.array(
      v.object({
        destination: v.pipe(text, v.minLength(1)),
        type: o(text),
        source: o(text),
        options: strings,
        uidMappings: mappings,
        gidMappings: mappings,
      }),
    ),
  ),
  hooks: o(
    v.object({
      prestart: hooks,
      createRuntime: hooks,
      createContainer: hooks,
      startContainer: hooks,
      poststart: hooks,
      poststop: hooks,
    }),
  ),
  annotations: stringMap,
  linux: o(
    v.object({
      namespaces: o(v.array(v.object({ type: v.picklist(NAMESPACE_TYPES), path: o(text) }))),
      uidMappings: mappings,
      gidMappings: mappings,
      devices: o(v.array(device)),
      cgroupsPath: o(text),
      resources: o(resources),
      rootfsPropagation: o(v.picklist(["", ...PROPAGATIONS, ...PROPAGATIONS.map((word) => `r${word}`)])),
      seccomp: o(kernel.seccomp),
      sysctl: stringMap,
      maskedPaths: strings,
      readonlyPaths: strings,
      mountLabel: o(text),
      timeOffsets: o(kernel.timeOffsets),
      personality: o(kernel.personality),
      intelRdt: o(kernel.intelRdt),
      memoryPolicy: o(kernel.memoryPolicy),
      netDevices: o(kernel.netDevices),
    }),
  ),
});

/**
 * @param name of the file, for messages.
 * @throws GantryError invalid-argument.
 */
export function parseSpec(json: string, name: string): Spec {
  const spec = parseChecked<Spec>(json, name, specSchema);
  checkNamespaces(spec, name);
  kernel.checkKernelFields(spec, (message) => {
    throw new GantryError("invalid-argument", `${name}: ${message}`);
  });
  return spec;
}

/** A process.json, as `exec --process` takes it. @throws GantryError invalid-argument. */
export function parseProcess(json: string, name: string): Process {
  return parseChecked<Process>(json, name, processSchema);
}

/** The resources of `update --resources`. @throws GantryError invalid-argument. */
export function parseResources(json: string, name: string): Resources {
  return parseChecked<Resources>(json, name, resources);
}

function parseChecked<T>(json: string, name: string, schema: v.GenericSchema): T {
  if (json.length > MAX_TEXT)
    throw new GantryError("invalid-argument", `${name}: larger than ${MAX_TEXT} bytes`);
  let value: unknown;
  try {
    value = withoutNulls(parseExactJson(json));
  } catch (error) {
    const reason = error instanceof RangeError ? "nested too deeply" : jsonFault(json);
    throw new GantryError("invalid-argument", `${name}: ${reason}`);
  }
  const result = v.safeParse(schema, value);
  if (!result.success) {
    const [issue] = result.issues;
    throw new GantryError(
      "invalid-argument",
      `${name}: ${v.getDotPath(issue) ?? "the whole"}: ${shortened(issue.message)}`,
    );
  }
  const list = listForObject(schema, value);
  if (list !== undefined)
    throw new GantryError(
      "invalid-argument",
      `${name}: ${list === "" ? "the whole" : list}: Expected Object but received Array`,
    );
  return value as T;
}

/** What was found may be long. */
function shortened(message: string): string {
  return message.length > 200 ? `${message.slice(0, 200)}…` : message;
}

/** Writers of configurations say null for what is not there. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(members.map(([key, member]) => [key, withoutNulls(member)]));
}

function checkNamespaces(spec: Spec, name: string): void {
  const fail = (message: string): never => {
    throw new GantryError("invalid-argument", `${name}: ${message}`);
  };
  const namespaces = spec.linux?.namespaces ?? [];
  const has = (type: string): boolean => namespaces.some((namespace) => namespace.type === type);
  namespaces.forEach(({ type, path }, index) => {
    if (namespaces.findIndex((other) => other.type === type) !== index)
      fail(`linux.namespaces.${index}: "${type}" is there twice`);
    if (path && !posix.isAbsolute(path)) fail(`linux.namespaces.${index}.path: Expected an absolute path`);
  });
  if (spec.hostname && !has("uts")) fail("hostname: needs a UTS namespace");
  if (spec.domainname && !has("uts")) fail("domainname: needs a UTS namespace");
  for (const member of ["uidMappings", "gidMappings"] as const)
    if (spec.linux?.[member]?.length && !has("user")) fail(`linux.${member}: needs a user namespace`);
}
