/** `list`: the containers below the root. */
import { lstatSync, readFileSync } from "node:fs";
import { errnoCode, errorKind, errorMessage } from "../../base/errors.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import {
  containerDirectory,
  containerIds,
  containerState,
  loadContainer,
  type ContainerState,
} from "./container-state.ts";
import { print } from "./output.ts";

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
      const state = containerState(context.root, loadContainer(context.root, id));
      return [{ ...state, owner: ownerOf(containerDirectory(context.root, id)) }];
    } catch (error) {
      // One that cannot be read hides no other; one that has just been deleted is not missed.
      if (errorKind(error) !== "not-found") context.log.warn(errorMessage(error));
      return [];
    }
  });
  if (quiet) print(states.map(({ id }) => `${id}\n`).join(""));
  else if (format === "json") print(`${JSON.stringify(states)}\n`);
  else print(table(states));
}

/** Name of the user who owns the container's directory, or "#" and the id where it has none. */
function ownerOf(directory: string): string {
  const { uid } = lstatSync(directory);
  return hostUsers().get(uid) ?? `#${uid}`;
}

let users: ReadonlyMap<number, string> | undefined;
function hostUsers(): ReadonlyMap<number, string> {
  users ??= readHostUsers();
  return users;
}

function readHostUsers(): ReadonlyMap<number, string> {
  let text = "";
  try {
    text = readFileSync("/etc/passwd", "utf8");
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  const entries = text.split("\n").map((line) => line.split(":"));
  return new Map(entries.reverse().map(([name = "", , uid]): [number, string] => [Number(uid), name]));
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
