/** `spec`: writes a configuration to start from. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoCode, GantryError } from "../../base/errors.ts";
import type { Spec } from "../runtime-spec.ts";
import {
  CGROUP_READONLY_MOUNT,
  DEFAULT_MASKED_PATHS,
  DEFAULT_PATH,
  DEFAULT_READONLY_PATHS,
  DENY_ALL_DEVICES,
  DEV_MOUNT,
  DEVPTS_MOUNT,
  MQUEUE_MOUNT,
  OCI_VERSION,
  PROC_MOUNT,
  SHM_MOUNT,
  SYSFS_READONLY_MOUNT,
} from "../spec-defaults.ts";
import { declareCommand } from "./command-declaration.ts";

export const specCommand = declareCommand({
  arguments: [],
  options: {
    bundle: { kind: "value", short: "b", value: "dir", default: ".", help: "bundle directory" },
  },
  run: (_context, _args, { bundle }) => spec(bundle),
});

const CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

export function exampleSpec(): Spec {
  return {
    ociVersion: OCI_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: [DEFAULT_PATH, "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "gantry",
    mounts: [
      PROC_MOUNT,
      DEV_MOUNT,
      DEVPTS_MOUNT,
      SHM_MOUNT,
      MQUEUE_MOUNT,
      SYSFS_READONLY_MOUNT,
      CGROUP_READONLY_MOUNT,
    ],
    linux: {
      resources: { devices: [DENY_ALL_DEVICES] },
      namespaces: [
        { type: "pid" },
        { type: "network" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        { type: "cgroup" },
      ],
      maskedPaths: [...DEFAULT_MASKED_PATHS],
      readonlyPaths: [...DEFAULT_READONLY_PATHS],
    },
  };
}

/** @throws GantryError already-exists rather than overwrite a configuration. */
export function spec(bundle: string): void {
  const path = join(bundle, "config.json");
  try {
    writeFileSync(path, `${JSON.stringify(exampleSpec(), undefined, 2)}\n`, { flag: "wx", mode: 0o644 });
  } catch (error) {
    if (errnoCode(error) === "EEXIST")
      throw new GantryError("already-exists", `file ${path} exists, remove it first`);
    throw new GantryError("invalid-argument", `write ${path}: ${errnoCode(error) ?? String(error)}`);
  }
}
