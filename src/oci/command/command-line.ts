/**
 * The command line of gantry-oci: the executor as a command on OCI bundles, with the commands and options of other OCI
 * runtimes. It reads tables (command-table.ts) and loads the code of the one command that is asked for.
 *
 * A failure is one line in the log, one on standard error, and exit status 1 (255 of exec, 3 where there is no such
 * command).
 */
import { resolve } from "node:path";
import { GantryError } from "../../base/errors.ts";
import { checkArgumentCount, parseArguments } from "./argument-parse.ts";
import { CommandLog, type CommandContext } from "./command-context.ts";
import type { CommandDeclaration, OptionTable, OptionValues } from "./command-declaration.ts";
import { COMMANDS, GLOBAL_OPTIONS } from "./command-table.ts";
import { print } from "./output.ts";

export const VERSION_TEXT = "gantry-oci version 0.1.0\nspec: 1.3.0\n";
const UNKNOWN_COMMAND = 3;
const HELP = { help: { kind: "flag", short: "h", help: "show this" } } as const satisfies OptionTable;
const GLOBAL = {
  ...GLOBAL_OPTIONS,
  ...HELP,
  version: { kind: "flag", short: "v", help: "show the version" },
} as const satisfies OptionTable;
type GlobalOptions = OptionValues<typeof GLOBAL>;

/** Exit status of the command that the words name. Reports failures itself; never rejects. */
export async function runCommandLine(words: readonly string[]): Promise<number> {
  let log = new CommandLog(undefined, "text", false);
  let failureStatus = 1;
  try {
    const { values, args } = parseArguments(words, GLOBAL, true);
    const options = values as GlobalOptions;
    const [name, ...rest] = args;
    if (options.version) {
      print(VERSION_TEXT);
      return 0;
    }
    const context = commandContext(options);
    log = context.log;
    if (name === undefined || options.help || name === "help" || name === "h")
      return await showHelp(name === "help" || name === "h" ? rest[0] : undefined);
    const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (!entry) {
      failureStatus = UNKNOWN_COMMAND;
      throw new GantryError("invalid-argument", `no such command: ${JSON.stringify(name)}`);
    }
    const declaration = await entry.load();
    const parsed = parseArguments(
      rest,
      { ...declaration.options, ...HELP },
      declaration.optionsFirst ?? false,
    );
    if (parsed.values["help"] === true) return await showHelp(name);
    checkArgumentCount(parsed.args, declaration.arguments, name);
    failureStatus = declaration.failureStatus ?? 1;
    return await perform(context, declaration, parsed);
  } catch (error) {
    log.error(error);
    return failureStatus;
  }
}

async function perform(
  context: CommandContext,
  declaration: CommandDeclaration,
  { values, args }: { values: Record<string, unknown>; args: string[] },
): Promise<number> {
  return (await declaration.run(context, args, values)) ?? 0;
}

async function showHelp(name: string | undefined): Promise<number> {
  const { helpText } = await import("./help-text.ts");
  print(await helpText(name));
  return 0;
}

function commandContext(options: GlobalOptions): CommandContext {
  const { logFormat } = options;
  if (logFormat !== "text" && logFormat !== "json")
    throw new GantryError("invalid-argument", `invalid log-format: ${logFormat}`);
  return {
    root: resolve(options.root),
    log: new CommandLog(options.log, logFormat, options.debug),
    systemdCgroup: options.systemdCgroup ?? false,
  };
}
