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
    rootless: { kind: "flag", help: "for a user without privileges: in a user namespace of its own" },
  },
  run: (_context, _args, { bundle, rootless }) => spec(bundle, rootless),
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

/** The example for a user without privileges: mapped to root in a user namespace, on the host's network, without limits. */
export function rootlessSpec(uid: number, gid: number): Spec {
  const example = exampleSpec();
  const { resources: _resources, ...linux } = example.linux ?? {};
  const namespaces = (linux.namespaces ?? []).filter(({ type }) => type !== "network");
  return {
    ...example,
    mounts: (example.mounts ?? []).map((mount) => {
      // sysfs belongs to a network namespace's owner; and there is one gid only, which is not that of ttys.
      if (mount.type === "sysfs") return { ...ROOTLESS_SYS, options: [...ROOTLESS_SYS.options] };
      const options = (mount.options ?? []).filter((option) => !/^[gu]id=/.test(option));
      return { ...mount, options };
    }),
    linux: {
      ...linux,
      namespaces: [...namespaces, { type: "user" }],
      uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
    },
  };
}

const ROOTLESS_SYS = {
  destination: "/sys",
  type: "none",
  source: "/sys",
  options: ["rbind", "nosuid", "noexec", "nodev", "ro"],
};

/** @throws GantryError already-exists rather than overwrite a configuration. */
export function spec(bundle: string, rootless = false): void {
  const path = join(bundle, "config.json");
  try {
    const content = rootless
      ? rootlessSpec(process.geteuid?.() ?? 0, process.getegid?.() ?? 0)
      : exampleSpec();
    writeFileSync(path, `${JSON.stringify(content, undefined, 2)}\n`, { flag: "wx", mode: 0o644 });
  } catch (error) {
    if (errnoCode(error) === "EEXIST")
      throw new GantryError("already-exists", `file ${path} exists: remove it first`);
    throw new GantryError("invalid-argument", `write ${path}: ${errnoCode(error) ?? String(error)}`);
  }
}
