/**
 * An exec or attach with its client: carries the streams both ways and tells how it ended. How the streams got here,
 * by SPDY or by WebSocket, is the transport's.
 *
 *   client ──stdin, resize──▶ channels ──▶ process     what is not taken holds up who sends it
 *          ◀─stdout, stderr──          ◀──             status last, after all output
 *
 * The client's going ends it: an exec's process is killed, an attached container goes on.
 */
import type { Readable, Writable } from "node:stream";
import { abortable } from "../../base/abort.ts";
import { GantryError } from "../../base/errors.ts";
import type { ProcessSession } from "../../engine/engine.ts";
import { type ExecOutcome, statusText } from "./exec-status.ts";
import { pump } from "./pump.ts";
import { terminalSizes } from "./terminal-size.ts";

/** The client's side. Streams that it did not ask for are undefined. */
export interface RemoteChannels {
  /** Of the protocol that was agreed upon: 1 to 5. */
  readonly protocolVersion: number;
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  readonly error: Writable;
  readonly resize: Readable | undefined;
  /** Resolves when the client has gone. */
  readonly closed: Promise<void>;
  /** Ends the connection in order: what was written is delivered. */
  end(): Promise<void>;
}

export type OpenSession = (signal: AbortSignal) => Promise<ProcessSession>;

/** Resolves with the outcome when the connection has ended. Never rejects. */
export async function serveRemoteCommand(channels: RemoteChannels, open: OpenSession): Promise<ExecOutcome> {
  const gone = new AbortController();
  void channels.closed.then(() => gone.abort(new GantryError("cancelled", "the client has gone")));
  let outcome: ExecOutcome;
  let session: ProcessSession | undefined;
  try {
    session = await open(gone.signal);
    outcome = { exitCode: await carry(session, channels, gone.signal) };
  } catch (error) {
    outcome = { error };
  } finally {
    session?.close();
  }
  await endWith(channels.error, statusText(outcome, channels.protocolVersion));
  await channels.end();
  return outcome;
}

/** The exit code, once all output has been taken by the client. */
async function carry(session: ProcessSession, channels: RemoteChannels, gone: AbortSignal): Promise<number> {
  const outputs = [carryOutput(session.stdout, channels.stdout)];
  if (session.stderr) outputs.push(carryOutput(session.stderr, channels.stderr));
  void carryInput(channels.stdin, session.stdin);
  if (channels.resize) void resizeAll(channels.resize, session);
  const [{ exitCode }] = await abortable(Promise.all([session.wait(), ...outputs]), gone);
  return exitCode;
}

async function carryOutput(from: Readable, to: Writable | undefined): Promise<void> {
  if (to && !to.destroyed) await pump(from, to).catch(() => undefined);
  // What the client does not want must not hold up the rest.
  from.resume();
}

async function carryInput(from: Readable | undefined, to: Writable | undefined): Promise<void> {
  if (from && to) await pump(from, to).catch(() => undefined);
  from?.resume();
}

async function resizeAll(sizes: Readable, session: ProcessSession): Promise<void> {
  try {
    for await (const { width, height } of terminalSizes(sizes)) await session.resize(width, height);
  } catch {
    // A terminal of another size is no reason to end what runs in it.
    sizes.resume();
  }
}

/** Resolves when the text has been sent, or cannot be. */
function endWith(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve) => {
    stream.once("close", resolve);
    stream.end(text, () => resolve());
  });
}
