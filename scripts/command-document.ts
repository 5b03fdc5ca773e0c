/** A command line as manual pages and completions show it, whichever way the program declares it. */
import type { Command } from "commander";
import type { OptionTable } from "../src/oci/command/command-declaration.ts";
import { COMMANDS, GLOBAL_OPTIONS } from "../src/oci/command/command-table.ts";
import { argumentText, optionText } from "../src/oci/command/help-text.ts";

export interface CommandDocument {
  name: string;
  description: string;
  /** "<id>", "[signal]". */
  arguments: string[];
  options: { flags: string; short?: string; long?: string; description: string }[];
  commands: CommandDocument[];
}

export function documentOfCommander(command: Command): CommandDocument {
  return {
    name: command.name(),
    description: command.description(),
    arguments: command.registeredArguments.map((argument) => {
      const word = `${argument.name()}${argument.variadic ? "..." : ""}`;
      return argument.required ? `<${word}>` : `[${word}]`;
    }),
    options: command.options
      .filter((option) => !option.hidden)
      .map(({ flags, short, long, description }) => ({
        flags,
        description,
        ...(short ? { short } : {}),
        ...(long ? { long } : {}),
      })),
    commands: command.commands.map(documentOfCommander),
  };
}

/** Of gantry-oci, which has tables. */
export async function documentOfExecutor(): Promise<CommandDocument> {
  const commands = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, entry]): Promise<CommandDocument> => {
      const declaration = await entry.load();
      return {
        name,
        description: entry.summary,
        arguments: declaration.arguments.map(argumentText),
        options: documentedOptions(declaration.options),
        commands: [],
      };
    }),
  );
  return {
    name: "gantry-oci",
    description: "runs containers from OCI bundles",
    arguments: [],
    options: documentedOptions(GLOBAL_OPTIONS),
    commands,
  };
}

function documentedOptions(table: OptionTable): CommandDocument["options"] {
  return Object.entries(table).map(([name, option]) => ({
    flags: optionText(name, option),
    long: `--${name}`,
    ...(option.short === undefined ? {} : { short: `-${option.short}` }),
    description: option.help,
  }));
}
