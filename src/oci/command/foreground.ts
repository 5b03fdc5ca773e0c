/** Stays with a launched process: passes signals on to it, copies its terminal, and takes over its exit status. */
import type { LaunchedChild } from "./launcher.ts";
import type { ForegroundTerminal } from "./terminal.ts";

/** What a terminal or a supervisor sends; the others end this command or are none of the process's business. */
const FORWARDED: NodeJS.Signals[] = [
  ...([
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGTERM",
    "SIGUSR1",
    "SIGUSR2",
    "SIGCONT",
    "SIGALRM",
    "SIGTSTP",
  ] as const),
  ...(["SIGTTIN", "SIGTTOU", "SIGURG", "SIGIO", "SIGPWR"] as const),
];

/** Collects signals from now on, before there is a process to send them to. */
export class SignalForwarder {
  #child: LaunchedChild | undefined;
  readonly #early: NodeJS.Signals[] = [];
  readonly #listeners = FORWARDED.map((signal) => {
    const listener = (): void => {
      if (this.#child) this.#child.signal(signal);
      else this.#early.push(signal);
    };
    process.on(signal, listener);
    return [signal, listener] as const;
  });

  attach(child: LaunchedChild): void {
    this.#child = child;
    for (const signal of this.#early.splice(0)) child.signal(signal);
  }

  stop(): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener);
  }
}

/** Exit status of the process: 128 plus the signal's number for a death by signal. */
export async function waitInForeground(
  child: LaunchedChild,
  terminal: ForegroundTerminal | undefined,
): Promise<number> {
  const code = await child.exitCode;
  await terminal?.close();
  return code;
}
