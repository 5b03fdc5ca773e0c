/** `list`: the containers below the root. */
import { errorKind } from "../../base/errors.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import { containerIds, containerState, loadContainer, type ContainerState } from "./container-state.ts";

export const listCommand = declareCommand({
  arguments: [],
  options: {
    format: {
      kind: "value",
      short: "f",
      value: "format",
      default: "table",
      choices: ["table", "json"],
      help: "table or json",
    },
    quiet: { kind: "flag", short: "q", help: "ids only" },
  },
  run: (context, _args, { format, quiet }) => list(context, format, quiet),
});

export function list(context: CommandContext, format: "table" | "json", quiet: boolean): void {
  const states = containerIds(context.root).flatMap((id): ContainerState[] => {
    try {
      return [containerState(context.root, loadContainer(context.root, id))];
    } catch (error) {
      if (errorKind(error) === "not-found") return [];
      throw error;
    }
  });
  if (quiet) process.stdout.write(states.map(({ id }) => `${id}\n`).join(""));
  else if (format === "json") process.stdout.write(`${JSON.stringify(states)}\n`);
  else process.stdout.write(table(states));
}

function table(states: readonly ContainerState[]): string {
  const rows = [
    ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
    ...states.map((s) => [s.id, String(s.pid), s.status, s.bundle, s.created, s.owner]),
  ];
  const widths = [0, 1, 2, 3, 4].map(
    (column) => Math.max(9, ...rows.map((row) => (row[column] as string).length)) + 3,
  );
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("")
          .trimEnd()}\n`,
    )
    .join("");
}
