/**
 * What a container may ask for whose path leads through a volume that another one has too, each as a configuration for
 * gantry-oci. See shared-volume.ts for the directories.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Linux, Mount, Spec } from "../../src/oci/runtime-spec.ts";
import { DEVPTS_MOUNT, PROC_MOUNT } from "../../src/oci/spec-defaults.ts";

export interface Round {
  /** The directory of all, on the host. */
  directory: string;
  /** Of the container's control group. */
  cgroupsPath: string;
  /** Tells what it makes from what others have made. */
  number: number;
  /** Path in the container to what is exchanged: a directory that has b/ and "file". */
  place: string;
}

interface Asked {
  mounts?: Mount[];
  linux?: Linux;
  cwd?: string;
  terminal?: boolean;
  hooks?: Spec["hooks"];
  /** The words of programs/probe.c. */
  probe: string[];
}

const bind = (source: string, destination: string): Mount => ({
  destination,
  type: "bind",
  source,
  options: ["bind"],
});
const DEV: Mount = { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755"] };
const USER_IDS = [{ containerID: 0, hostID: 0, size: 65_536 }];

export const KINDS = {
  directory: ({ directory, place }) => ({
    mounts: [bind(join(directory, "source"), `${place}/b`)],
    probe: ["mount", "/source"],
  }),
  /** The root filesystem has a path on the host then, by which a runtime could look things up. */
  directoryWithHook: ({ directory, place }) => ({
    mounts: [bind(join(directory, "source"), `${place}/b`)],
    hooks: { poststop: [{ path: "/bin/true" }] },
    probe: ["mount", "/source"],
  }),
  madeFile: ({ directory, place, number }) => ({
    mounts: [bind(join(directory, "single"), `${place}/made${number}/file`)],
    hooks: { poststop: [{ path: "/bin/true" }] },
    probe: ["mount", "/single"],
  }),
  tmpfs: ({ place }) => ({
    mounts: [{ destination: `${place}/b`, type: "tmpfs", source: "raced", options: [] }],
    probe: ["mount", "raced"],
  }),
  copyUp: ({ place }) => ({
    mounts: [{ destination: `${place}/b`, type: "tmpfs", source: "raced", options: ["tmpcopyup"] }],
    probe: ["empty", `${place}/b`, "/v/link/b", "/v/uplink/b"],
  }),
  sysfs: ({ place }) => ({
    mounts: [{ destination: `${place}/b`, type: "sysfs", source: "raced", options: ["ro"] }],
    probe: ["mount", "raced"],
  }),
  cgroups: ({ place }) => ({
    mounts: [{ destination: `${place}/b`, type: "cgroup", source: "raced", options: ["ro"] }],
    probe: ["empty", `${place}/b`],
  }),
  masked: ({ place }) => ({
    linux: { maskedPaths: [`${place}/file`], readonlyPaths: [`${place}/b`] },
    probe: ["mount", "/null", "/b"],
  }),
  device: ({ directory, place, number }) => {
    const node = `node${number}`;
    const paths = [join(directory, "host"), place, "/v/link", "/v/uplink"].map((at) => join(at, node));
    return {
      linux: { devices: [{ path: join(place, node), type: "c", major: 1, minor: 3 }] },
      probe: ["either", ...paths],
    };
  },
  workingDirectory: ({ directory, place }) => {
    const { dev, ino } = statSync(join(directory, "host/b"));
    return { cwd: `${place}/b`, probe: ["cwd", String(dev), String(ino)] };
  },
  madeWorkingDirectory: ({ directory, place, number }) => {
    const { dev, ino } = statSync(join(directory, "host"));
    return { cwd: `${place}/work${number}`, probe: ["cwd", String(dev), String(ino)] };
  },
  /** A part of the volume, out of which the other container moves a directory whose links lead upwards. */
  movedOut: ({ directory }) => ({
    mounts: [bind(join(directory, "volume/part"), "/part"), bind(join(directory, "source"), "/part/m/up/b")],
    probe: ["mount", "/source"],
  }),
  userNamespace: ({ directory, place, number }) => ({
    mounts: [
      bind(join(directory, "source"), `${place}/b`),
      bind(join(directory, "single"), `${place}/user${number}/file`),
    ],
    linux: { namespaces: [{ type: "user" }], uidMappings: USER_IDS, gidMappings: USER_IDS },
    probe: ["mount", "/source", "/single"],
  }),
  terminal: ({ directory }) => ({
    mounts: [bind(join(directory, "volume/dev"), "/dev"), DEVPTS_MOUNT],
    terminal: true,
    probe: ["terminal"],
  }),
} as const satisfies Record<string, (round: Round) => Asked>;

export type Kind = keyof typeof KINDS;

export function specOf(kind: Kind, round: Round): Spec {
  const asked: Asked = KINDS[kind](round);
  const { mounts = [], linux = {}, hooks, probe } = asked;
  return {
    ociVersion: "1.3.0",
    root: { path: join(round.directory, "rootfs") },
    process: {
      user: { uid: 0, gid: 0 },
      terminal: asked.terminal ?? false,
      cwd: asked.cwd ?? "/",
      args: ["/bin/probe", ...probe],
      env: [],
    },
    mounts: [
      PROC_MOUNT,
      ...(asked.terminal ? [] : [DEV]),
      bind(join(round.directory, "volume"), "/v"),
      ...mounts,
    ],
    linux: {
      ...linux,
      cgroupsPath: round.cgroupsPath,
      namespaces: [{ type: "mount" }, { type: "pid" }, { type: "ipc" }, ...(linux.namespaces ?? [])],
    },
    ...(hooks && { hooks }),
  };
}
