/** What `--help` prints, from the tables. */
import { GantryError } from "../../base/errors.ts";
import type { OptionDeclaration, OptionTable } from "./command-declaration.ts";
import { COMMANDS, GLOBAL_OPTIONS } from "./command-table.ts";

/** Of one command, or of the program. @throws GantryError invalid-argument for an unknown command. */
export async function helpText(name: string | undefined): Promise<string> {
  if (name === undefined) return programHelp();
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!entry) throw new GantryError("invalid-argument", `no such command: ${JSON.stringify(name)}`);
  const declaration = await entry.load();
  return [
    `gantry-oci ${name}: ${entry.summary}`,
    "",
    `usage: ${[`gantry-oci ${name}`, "[options]", ...declaration.arguments.map(argumentText)].join(" ")}`,
    ...optionLines("options:", declaration.options),
    "",
  ].join("\n");
}

function programHelp(): string {
  return [
    "gantry-oci: runs containers from OCI bundles",
    "",
    "usage: gantry-oci [global options] <command> [options] [arguments]",
    "",
    "commands:",
    ...columns(Object.entries(COMMANDS).map(([name, { summary }]) => [name, summary])),
    ...optionLines("global options:", GLOBAL_OPTIONS),
    "",
    "gantry-oci <command> --help tells more.",
    "",
  ].join("\n");
}

/** "signal?" is "[signal]", "command..." is "[command...]". */
export function argumentText(declared: string): string {
  if (declared.endsWith("?")) return `[${declared.slice(0, -1)}]`;
  return declared.endsWith("...") ? `[${declared}]` : `<${declared}>`;
}

/** "-b, --bundle <dir>". */
export function optionText(name: string, option: OptionDeclaration): string {
  const flags = option.short === undefined ? `--${name}` : `-${option.short}, --${name}`;
  return option.kind === "flag" ? flags : `${flags} <${option.value}>`;
}

function optionLines(heading: string, table: OptionTable): string[] {
  const rows = Object.entries(table).map(([name, option]): [string, string] => {
    const given = option.kind === "value" && option.default !== undefined ? ` (${option.default})` : "";
    return [optionText(name, option), `${option.help}${given}`];
  });
  return rows.length === 0 ? [] : ["", heading, ...columns(rows)];
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => `  ${left.padEnd(width)}${right}`);
}
