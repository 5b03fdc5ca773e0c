/** `ps`: the processes of a container, as pids or as ps(1) of the host shows them. */
import { spawnSync } from "node:child_process";
import { GantryError } from "../../base/errors.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import { loadContainer } from "./container-state.ts";
import { print } from "./output.ts";

export const psCommand = declareCommand({
  arguments: ["id", "options..."],
  options: {
    format: {
      kind: "value",
      short: "f",
      value: "format",
      default: "table",
      choices: ["table", "json"],
      help: "table or json",
    },
  },
  optionsFirst: true,
  run: (context, [id, ...psOptions], { format }) => ps(context, id, format, psOptions),
});

/** @param options of ps(1); "-ef" unless given. */
export async function ps(
  context: CommandContext,
  id: string,
  format: "table" | "json",
  options: readonly string[],
): Promise<void> {
  const container = loadContainer(context.root, id);
  const pids = await createCgroupManager().load(container.cgroupPath).processes();
  if (format === "json") {
    print(`${JSON.stringify(pids)}\n`);
    return;
  }
  const { status, stdout, stderr, error } = spawnSync("ps", options.length > 0 ? options : ["-ef"], {
    encoding: "utf8",
  });
  if (error || status !== 0)
    throw new GantryError("failed-precondition", `ps: ${error?.message ?? stderr.trim()}`);
  print(ofProcesses(stdout, new Set(pids)));
}

/** The heading of ps's table and the lines whose PID column is one of the pids. */
export function ofProcesses(table: string, pids: ReadonlySet<number>): string {
  const [heading = "", ...lines] = table.split("\n");
  const column = heading.trim().split(/\s+/).indexOf("PID");
  if (column < 0) throw new GantryError("invalid-argument", "ps: its output has no column PID");
  const own = lines.filter((line) => pids.has(Number(line.trim().split(/\s+/)[column])));
  return [heading, ...own, ""].join("\n");
}
