/** The commands of gantry-oci by name. What a command takes stands beside its code, which is loaded when it is asked for. */
import type { CommandDeclaration, OptionTable } from "./command-declaration.ts";

export interface CommandEntry {
  summary: string;
  load: () => Promise<CommandDeclaration>;
}

export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  checkpoint: {
    summary: "not implemented",
    load: async () => (await import("./checkpoint.ts")).checkpointCommand,
  },
  create: {
    summary: "make a container; its process waits for start",
    load: async () => (await import("./create.ts")).createCommand,
  },
  delete: {
    summary: "remove a stopped container",
    load: async () => (await import("./delete.ts")).deleteCommand,
  },
  events: {
    summary: "print counters of a container, and its OOM kills, as JSON",
    load: async () => (await import("./events.ts")).eventsCommand,
  },
  exec: {
    summary: "run a further process in a container",
    load: async () => (await import("./exec.ts")).execCommand,
  },
  features: {
    summary: "print what this runtime knows, as JSON",
    load: async () => (await import("./features.ts")).featuresCommand,
  },
  kill: {
    summary: "send a signal to a container's process, SIGTERM unless given",
    load: async () => (await import("./kill.ts")).killCommand,
  },
  list: {
    summary: "list containers",
    load: async () => (await import("./list.ts")).listCommand,
  },
  pause: {
    summary: "freeze all processes of a container",
    load: async () => (await import("./pause.ts")).pauseCommand,
  },
  ps: {
    summary: "show the processes of a container, by ps(1) and its options",
    load: async () => (await import("./ps.ts")).psCommand,
  },
  restore: {
    summary: "not implemented",
    load: async () => (await import("./checkpoint.ts")).restoreCommand,
  },
  resume: {
    summary: "let the processes of a paused container go on",
    load: async () => (await import("./pause.ts")).resumeCommand,
  },
  run: {
    summary: "create and start; in the foreground also wait and delete",
    load: async () => (await import("./run.ts")).runCommand,
  },
  spec: {
    summary: "write a configuration to start from",
    load: async () => (await import("./spec.ts")).specCommand,
  },
  start: {
    summary: "let a created container execute its command",
    load: async () => (await import("./start.ts")).startCommand,
  },
  state: {
    summary: "print the state of a container",
    load: async () => (await import("./state.ts")).stateCommand,
  },
  update: {
    summary: "change the limits of a container, all that are given or none",
    load: async () => (await import("./update.ts")).updateCommand,
  },
};

/** The options before the command. */
export const GLOBAL_OPTIONS = {
  root: {
    kind: "value",
    value: "dir",
    default: "/run/gantry-oci",
    help: "directory of the containers' state",
  },
  log: { kind: "value", value: "file", help: "log file; standard error unless given" },
  "log-format": {
    kind: "value",
    value: "format",
    default: "text",
    help: "format of the log: text or json",
  },
  "systemd-cgroup": { kind: "flag", help: `cgroups through systemd; cgroupsPath is "slice:prefix:name"` },
  rootless: { kind: "value", value: "value", help: "without effect" },
  criu: { kind: "value", value: "path", help: "without effect" },
  debug: { kind: "flag", help: "log more" },
} as const satisfies OptionTable;
