/** `state`: prints the container's state as JSON (runtime.md, "State"). */
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import { containerState, loadContainer } from "./container-state.ts";
import { print } from "./output.ts";

export const stateCommand = declareCommand({
  arguments: ["id"],
  options: {},
  run: (context, [id]) => state(context, id),
});

export function state(context: CommandContext, id: string): void {
  const container = loadContainer(context.root, id);
  print(`${JSON.stringify(containerState(context.root, container), undefined, 2)}\n`);
}
