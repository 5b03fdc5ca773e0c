/** The options of `create`, which `run` takes too. */
import type { OptionTable, OptionValues } from "./command-declaration.ts";

export const CREATE_OPTIONS = {
  bundle: { kind: "value", short: "b", value: "dir", default: ".", help: "bundle directory" },
  "console-socket": { kind: "value", value: "path", help: "unix socket that gets the terminal's master" },
  "pid-file": { kind: "value", value: "file", help: "file that gets the pid of the container's process" },
  "no-pivot": { kind: "flag", help: "chroot instead of pivot_root" },
  "no-new-keyring": { kind: "flag", help: "keep the caller's session keyring" },
  "preserve-fds": {
    kind: "count",
    value: "n",
    help: "descriptors after standard error, and after those of $LISTEN_FDS, that the process gets",
  },
} as const satisfies OptionTable;

export type CreateOptions = OptionValues<typeof CREATE_OPTIONS>;

export const RUN_OPTIONS = {
  ...CREATE_OPTIONS,
  detach: { kind: "flag", short: "d", help: "leave the container running" },
  keep: { kind: "flag", help: "do not delete the container after it has exited" },
  "no-subreaper": { kind: "flag", help: "without effect: orphans are not adopted" },
} as const satisfies OptionTable;

export type RunOptions = OptionValues<typeof RUN_OPTIONS>;
