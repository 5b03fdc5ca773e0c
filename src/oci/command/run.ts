/** `run`: create and start in one; in the foreground also wait and delete. */
import { mkdirSync } from "node:fs";
import { GantryError } from "../../base/errors.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import { RUN_OPTIONS, type RunOptions } from "./create-options.ts";
import { create, createAttached, readBundle } from "./create.ts";
import { deleteContainer } from "./delete.ts";
import { SignalForwarder, waitInForeground } from "./foreground.ts";
import { start } from "./start.ts";
import { ForegroundTerminal } from "./terminal.ts";

export const runCommand = declareCommand({
  arguments: ["id"],
  options: RUN_OPTIONS,
  run: (context, [id], options) => run(context, id, options),
});

/** Exit status of the container's process; 0 when detached. */
export async function run(context: CommandContext, id: string, options: RunOptions): Promise<number> {
  if (options.detach) {
    await create(context, id, options);
    try {
      await (await start(context, id)).ready(true);
    } catch (error) {
      await deleteContainer(context, id, true);
      throw error;
    }
    return 0;
  }
  if (options.consoleSocket)
    throw new GantryError("invalid-argument", "--console-socket needs --detach and process.terminal");
  const bundle = readBundle(options.bundle);
  const signals = new SignalForwarder();
  let terminal: ForegroundTerminal | undefined;
  try {
    if (bundle.spec.process?.terminal) {
      mkdirSync(context.root, { recursive: true, mode: 0o700 });
      terminal = new ForegroundTerminal(context.root);
    }
    const { child } = await createAttached(context, id, bundle, {
      ...options,
      ...(terminal ? { consoleSocket: terminal.socketPath } : {}),
    });
    try {
      terminal?.connect();
      signals.attach(child);
      const ready = (await start(context, id)).ready(false);
      const code = await waitInForeground(child, terminal);
      await ready;
      terminal = undefined;
      return code;
    } finally {
      if (!options.keep) await deleteContainer(context, id, true);
    }
  } finally {
    await terminal?.close();
    signals.stop();
  }
}
