/**
 * One file of the Container Device Interface (cncf-tags/container-device-interface, SPEC.md, versions 0.3.0 to 1.1.0):
 * a kind of device, its devices by name, and what each changes in the configuration of a container. A file is refused as
 * a whole: an error names it and the member that is wrong.
 */
import * as v from "valibot";
import { errorMessage, GantryError } from "../base/errors.ts";
import * as kernel from "./config-kernel-fields.ts";

const VERSIONS = /^v?(?:0\.[3-8]\.0|1\.[01]\.0)$/;
const VENDOR = /^[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const CLASS = /^[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const DEVICE = /^[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;

export const CDI_HOOK_NAMES = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;

const text = v.pipe(
  v.string(),
  v.check((value) => !value.includes("\0"), "Expected no NUL"),
);
const absolute = v.pipe(text, v.regex(/^\//, "Expected an absolute path"));
const integer = v.pipe(v.number(), v.integer("Expected an integer"));
const id = v.pipe(integer, v.minValue(0), v.maxValue(2 ** 32 - 2));
const environment = v.array(v.pipe(text, v.regex(/^[^=]+=/s, "Expected NAME=VALUE")));
const o = v.optional;

const deviceNode = v.strictObject({
  path: absolute,
  hostPath: o(absolute),
  type: o(v.picklist(["b", "c", "u", "p", ""])),
  major: o(integer),
  minor: o(integer),
  fileMode: o(v.pipe(integer, v.minValue(0), v.maxValue(0o7777))),
  permissions: o(v.pipe(text, v.regex(/^[rwm]*$/, "Expected letters of rwm"))),
  uid: o(id),
  gid: o(id),
});

const edits = v.strictObject({
  env: o(environment),
  deviceNodes: o(v.array(deviceNode)),
  netDevices: o(
    v.array(v.strictObject({ hostInterfaceName: kernel.hostInterfaceName, name: kernel.interfaceName })),
  ),
  mounts: o(
    v.array(
      v.strictObject({
        hostPath: v.pipe(text, v.minLength(1)),
        containerPath: absolute,
        options: o(v.array(text)),
        type: o(text),
      }),
    ),
  ),
  hooks: o(
    v.array(
      v.strictObject({
        hookName: v.picklist(CDI_HOOK_NAMES),
        path: absolute,
        args: o(v.array(text)),
        env: o(environment),
        timeout: o(v.pipe(integer, v.minValue(0))),
      }),
    ),
  ),
  intelRdt: o(
    v.strictObject({ ...kernel.intelRdtMembers, enableCMT: o(v.boolean()), enableMBM: o(v.boolean()) }),
  ),
  additionalGids: o(v.array(id)),
});

const annotations = v.record(v.string(), v.string());

const schema = v.strictObject({
  cdiVersion: v.pipe(v.string(), v.regex(VERSIONS, "Unknown version of the specification")),
  kind: v.string(),
  annotations: o(annotations),
  devices: v.array(
    v.strictObject({
      name: v.pipe(v.string(), v.regex(DEVICE, "Malformed device name")),
      annotations: o(annotations),
      containerEdits: edits,
    }),
  ),
  containerEdits: o(edits),
});

export type CdiEdits = v.InferOutput<typeof edits>;

export interface CdiSpec {
  /** "vendor.com/class". */
  kind: string;
  /** Of every container that gets one of the devices. */
  edits: CdiEdits;
  /** By name, of those that get the device. */
  devices: ReadonlyMap<string, CdiEdits>;
}

/** @param name of the file, for messages. @throws GantryError invalid-argument. */
export function checkCdiSpec(value: unknown, name: string): CdiSpec {
  const result = v.safeParse(schema, withoutNulls(value));
  if (!result.success) {
    const [issue] = result.issues;
    throw new GantryError(
      "invalid-argument",
      `CDI file ${name}: ${v.getDotPath(issue) ?? "the whole"}: ${issue.message}`,
    );
  }
  const { kind, devices, containerEdits = {} } = result.output;
  try {
    checkKind(kind);
    const byName = new Map(devices.map((device) => [device.name, device.containerEdits]));
    if (byName.size !== devices.length) throw new GantryError("invalid-argument", "a device is there twice");
    return { kind, edits: containerEdits, devices: byName };
  } catch (error) {
    throw new GantryError("invalid-argument", `CDI file ${name}: ${errorMessage(error)}`, { cause: error });
  }
}

/** Writers say null for what is not there. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(members.map(([key, member]) => [key, withoutNulls(member)]));
}

function checkKind(kind: string): void {
  const [vendor = "", name = "", ...rest] = kind.split("/");
  if (rest.length > 0 || !VENDOR.test(vendor) || !CLASS.test(name))
    throw new GantryError("invalid-argument", `${JSON.stringify(kind)} is no kind of device: vendor/class`);
}

export interface CdiDeviceName {
  kind: string;
  device: string;
}

/** "vendor.com/class=name", taken apart. @throws GantryError invalid-argument. */
export function parseCdiDeviceName(name: string): CdiDeviceName {
  const equals = name.indexOf("=");
  const kind = name.slice(0, Math.max(equals, 0));
  const device = name.slice(equals + 1);
  try {
    if (equals < 0 || !DEVICE.test(device))
      throw new GantryError("invalid-argument", "it is not vendor/class=name");
    checkKind(kind);
  } catch (error) {
    throw new GantryError("invalid-argument", `CDI device ${JSON.stringify(name)}: ${errorMessage(error)}`, {
      cause: error,
    });
  }
  return { kind, device };
}
