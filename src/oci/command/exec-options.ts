/** The options of `exec`. */
import type { OptionTable, OptionValues } from "./command-declaration.ts";

export const EXEC_OPTIONS = {
  process: {
    kind: "value",
    short: "p",
    value: "file",
    help: "process.json; then the other options about the process do not count",
  },
  detach: { kind: "flag", short: "d", help: "do not wait for the process" },
  "pid-file": { kind: "value", value: "file", help: "file that gets the pid of the process" },
  tty: { kind: "flag", short: "t", help: "with a terminal" },
  "console-socket": { kind: "value", value: "path", help: "unix socket that gets the terminal's master" },
  user: { kind: "value", short: "u", value: "uid[:gid]", help: "user and group of the process" },
  "additional-gids": { kind: "list", short: "g", value: "gid", help: "further group" },
  cwd: { kind: "value", value: "dir", help: "working directory in the container" },
  env: { kind: "list", short: "e", value: "key=value", help: "environment variable" },
  cap: { kind: "list", short: "c", value: "name", help: "capability to add" },
  "no-new-privs": { kind: "flag", help: "set no_new_privs" },
  apparmor: { kind: "value", value: "profile", help: "AppArmor profile" },
  "process-label": { kind: "value", value: "label", help: "SELinux label" },
  cgroup: {
    kind: "list",
    value: "[controller:]path",
    help: "group below the container's that the process is put in; it must exist",
  },
  "ignore-paused": { kind: "flag", help: "also in a paused container; it runs when that is resumed" },
  "no-subreaper": { kind: "flag", help: "without effect" },
  "preserve-fds": {
    kind: "count",
    value: "n",
    help: "descriptors after standard error that the process gets",
  },
} as const satisfies OptionTable;

export type ExecOptions = OptionValues<typeof EXEC_OPTIONS>;
