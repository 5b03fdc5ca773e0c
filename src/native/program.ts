/**
 * Running a program for its result, without Node's own way of starting one: that copies the daemon's page tables on the
 * thread of JavaScript (40 ms at 300 MiB), and connects standard streams by sockets, which scripts cannot open as
 * /dev/stdin or /dev/stderr.
 */
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { constants } from "node:os";
import { abortable } from "../base/abort.ts";
import { addon } from "./addon.ts";
import { consoleAddon } from "./console.ts";

interface ProgramBinding {
  /** Takes the four descriptors. @returns the exit code, or 256 and the number of the signal that ended it. */
  runProgram(
    path: string,
    args: string[],
    environment: string[],
    stdin: number,
    stdout: number,
    stderr: number,
    cancel: number,
  ): Promise<number>;
}

const native = addon as ProgramBinding;

const SIGNALLED = 256;
/** A program may leave a process behind that holds its output open. */
const AFTER_EXIT_MS = 2_000;

export interface ProgramRun {
  /** Absolute path; executed without a shell. */
  path: string;
  /** After its own name; default none. */
  args?: string[];
  /** "NAME=value", the whole environment. */
  environment: string[];
  input: string;
  /** What is kept of the output; more of stdout ends the program. */
  stdoutLimitBytes: number;
  stderrLimitBytes: number;
}

export interface ProgramEnd {
  stdout: string;
  stderr: string;
  /** Empty for exit code 0, else "exit code 1" or "SIGSEGV". */
  failure: string;
  /** It printed more than it may, and was killed. */
  exceeded: boolean;
}

/**
 * Runs it in a session of its own, in "/", with the umask 022, and waits for its end. When the signal aborts, the session is killed.
 *
 * @throws the signal's reason; an Error with code, syscall "execve" and path where it cannot be executed.
 */
export async function runProgram(run: ProgramRun, signal: AbortSignal): Promise<ProgramEnd> {
  signal.throwIfAborted();
  const [standardIn, standardOut, standardError, [cancelRead, cancelWrite]] = makePipes();
  const streams = { stdin: standardIn, stdout: standardOut, stderr: standardError };
  const kill = once(() => closeSync(cancelWrite));
  const end = native.runProgram(
    run.path,
    [run.path, ...(run.args ?? [])],
    run.environment,
    streams.stdin[0],
    streams.stdout[1],
    streams.stderr[1],
    cancelRead,
  );
  signal.addEventListener("abort", kill, { once: true });
  const stdin = new Socket({ fd: streams.stdin[1], readable: false, writable: true });
  stdin.on("error", () => undefined).end(run.input);
  const stdout = new BoundedOutput(streams.stdout[0], run.stdoutLimitBytes, kill);
  const stderr = new BoundedOutput(streams.stderr[0], run.stderrLimitBytes);
  try {
    const status = await endOf(end, signal);
    const late = AbortSignal.any([signal, AbortSignal.timeout(AFTER_EXIT_MS)]);
    await abortable(Promise.all([stdout.ended, stderr.ended]), late).catch(() => undefined);
    signal.throwIfAborted();
    return {
      stdout: stdout.text(),
      stderr: stderr.text(),
      failure: failureOf(status),
      exceeded: stdout.exceeded,
    };
  } finally {
    signal.removeEventListener("abort", kill);
    kill();
    for (const stream of [stdin, stdout.socket, stderr.socket]) stream.destroy();
  }
}

type Pipe = [read: number, write: number];

/** Four of them, or none. */
function makePipes(): [Pipe, Pipe, Pipe, Pipe] {
  const made: Pipe[] = [];
  try {
    const make = (): Pipe => {
      const pipe = consoleAddon.makePipe();
      made.push(pipe);
      return pipe;
    };
    return [make(), make(), make(), make()];
  } catch (error) {
    for (const end of made.flat()) closeSync(end);
    throw error;
  }
}

/** Once killed, a process may be stuck in the kernel: then it is not waited for without end. */
async function endOf(end: Promise<number>, signal: AbortSignal): Promise<number> {
  try {
    return await abortable(end, signal);
  } catch (error) {
    if (signal.aborted) await abortable(end, AbortSignal.timeout(AFTER_EXIT_MS)).catch(() => undefined);
    throw error;
  }
}

function failureOf(status: number): string {
  if (status === 0) return "";
  if (status < SIGNALLED) return `exit code ${status}`;
  const number = status - SIGNALLED;
  const known = Object.entries(constants.signals).find(([, value]) => value === number);
  return known?.[0] ?? `signal ${number}`;
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    work();
  };
}

/** Keeps the beginning of what comes from a pipe, and reads the rest away. */
class BoundedOutput {
  readonly socket: Socket;
  readonly ended: Promise<void>;
  exceeded = false;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(fd: number, limitBytes: number, onExceeded: () => void = () => undefined) {
    this.socket = new Socket({ fd, readable: true, writable: false });
    this.ended = new Promise((resolve) => this.socket.once("close", () => resolve()));
    this.socket.on("error", () => undefined);
    this.socket.on("data", (chunk: Buffer) => {
      const room = limitBytes - this.#size;
      if (room > 0) this.#chunks.push(chunk.subarray(0, room));
      this.#size += chunk.length;
      if (this.#size <= limitBytes || this.exceeded) return;
      this.exceeded = true;
      onExceeded();
    });
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
