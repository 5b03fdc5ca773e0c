/** `checkpoint` and `restore`: refused. They are known, so that a caller hears why and not of an unknown command. */
import { GantryError } from "../../base/errors.ts";
import type { OptionTable } from "./command-declaration.ts";
import { declareCommand } from "./command-declaration.ts";

const SHARED = {
  "image-path": { kind: "value", value: "dir", help: "directory of the image" },
  "work-path": { kind: "value", value: "dir", help: "directory of logs" },
  "tcp-established": { kind: "flag", help: "with open TCP connections" },
  "ext-unix-sk": { kind: "flag", help: "with external unix sockets" },
  "shell-job": { kind: "flag", help: "with a terminal of the caller" },
  "lazy-pages": { kind: "flag", help: "memory pages when they are needed" },
  "file-locks": { kind: "flag", help: "with file locks" },
  "manage-cgroups-mode": { kind: "value", value: "mode", help: "soft, full, strict or ignore" },
  "empty-ns": { kind: "list", value: "namespace", help: "namespace without its properties" },
  "auto-dedup": { kind: "flag", help: "without duplicate memory pages" },
} as const satisfies OptionTable;

const refuse = (command: string) => (): never => {
  throw new GantryError("unimplemented", `${command} is not implemented: this runtime does not use CRIU`);
};

export const checkpointCommand = declareCommand({
  arguments: ["id"],
  options: {
    ...SHARED,
    "parent-path": { kind: "value", value: "dir", help: "directory of a former image" },
    "leave-running": { kind: "flag", help: "do not stop the container" },
    "status-fd": { kind: "value", value: "fd", help: "descriptor that is told of lazy pages" },
    "page-server": { kind: "value", value: "address:port", help: "page server" },
    "pre-dump": { kind: "flag", help: "memory only" },
  },
  run: refuse("checkpoint"),
});

export const restoreCommand = declareCommand({
  arguments: ["id"],
  options: {
    ...SHARED,
    bundle: { kind: "value", short: "b", value: "dir", default: ".", help: "bundle directory" },
    "console-socket": { kind: "value", value: "path", help: "unix socket that gets the terminal's master" },
    detach: { kind: "flag", short: "d", help: "leave the container running" },
    "pid-file": { kind: "value", value: "file", help: "file that gets the pid" },
    "no-subreaper": { kind: "flag", help: "without effect" },
    "no-pivot": { kind: "flag", help: "chroot instead of pivot_root" },
    "lsm-profile": { kind: "value", value: "type:name", help: "security profile" },
    "lsm-mount-context": { kind: "value", value: "context", help: "label of mounts" },
  },
  run: refuse("restore"),
});
