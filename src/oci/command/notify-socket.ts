/**
 * NOTIFY_SOCKET (sd_notify(3)) for the process of a container, as runc does it: a socket of this command's own is in the
 * container at /run/notify, and of what arrives there only READY=1 goes on to the service manager. The rest of the
 * protocol is not for a container: it could name processes of the host, or keep descriptors in the manager.
 *
 *   create              a directory for the socket, its mount, the variable
 *   start, run --detach listens before the process begins, and ends when it is ready: READY=1 with its pid as MAINPID
 *   run                 the same beside the process, without MAINPID: this command is the service
 */
import { chmodSync, closeSync, constants, existsSync, mkdirSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errorMessage } from "../../base/errors.ts";
import { datagramAddon } from "../../native/datagram.ts";
import { sendNotify } from "../../native/notify.ts";
import type { Spec } from "../runtime-spec.ts";
import type { CommandContext } from "./command-context.ts";
import { containerDirectory } from "./container-state.ts";

const INSIDE = "/run/notify";
const NAME = "notify.sock";

const directoryOf = (root: string, id: string): string => join(containerDirectory(root, id), "notify");

/** The configuration with the mount and the variable, which goes before one that it has itself. */
export function withNotifySocket(root: string, id: string, spec: Spec): Spec {
  if (!spec.process) return spec;
  const source = directoryOf(root, id);
  mkdirSync(source);
  // Whatever the umask.
  chmodSync(source, 0o755);
  const options = ["bind", "nosuid", "noexec", "nodev", "ro"];
  const others = (spec.process.env ?? []).filter((entry) => !entry.startsWith("NOTIFY_SOCKET="));
  return {
    ...spec,
    process: { ...spec.process, env: [...others, `NOTIFY_SOCKET=${INSIDE}/${NAME}`] },
    mounts: [...(spec.mounts ?? []), { destination: INSIDE, type: "bind", source, options }],
  };
}

export class NotifySocket {
  readonly #path: string;
  readonly #manager: string;
  readonly #fd: number;

  private constructor(path: string, manager: string) {
    this.#path = path;
    this.#manager = manager;
    // The path may be longer than an address.
    const directory = openSync(join(path, ".."), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      this.#fd = datagramAddon.datagramListen(`/proc/self/fd/${directory}/${NAME}`);
    } finally {
      closeSync(directory);
    }
    // Of any user of the container.
    chmodSync(path, 0o777);
  }

  /** Listens, for a container that was created with the variable. @param manager the service manager's socket. */
  static listen(root: string, id: string, manager: string): NotifySocket | undefined {
    const directory = directoryOf(root, id);
    return existsSync(directory) ? new NotifySocket(join(directory, NAME), manager) : undefined;
  }

  /** Resolves when READY=1 has gone on to the manager, or when the process has ended. A failure is a warning. */
  async forward(pid: number, tellPid: boolean, log: CommandContext["log"]): Promise<void> {
    try {
      for (;;) {
        const message = await datagramAddon.datagramReceive(this.#fd, pid);
        if (message === undefined) return;
        if (!message.split("\n").includes("READY=1")) continue;
        sendNotify(this.#manager, tellPid ? `READY=1\nMAINPID=${pid}` : "READY=1");
        return;
      }
    } catch (error) {
      log.warn(`NOTIFY_SOCKET: ${errorMessage(error)}`);
    } finally {
      this.close();
    }
  }

  close(): void {
    closeSync(this.#fd);
    rmSync(this.#path, { force: true });
  }
}
