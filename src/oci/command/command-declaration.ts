/**
 * What a command takes, as plain data: its arguments and its options stand beside its code and are read by the parser
 * (argument-parse.ts), by the help, and by what makes the manual page and the completion. Loading a declaration costs
 * nothing but its table.
 */
import type { CommandContext } from "./command-context.ts";

interface OptionBase {
  /** One letter. */
  short?: string;
  help: string;
}

/** Given or not; "--name=false" is not given. */
export interface FlagOption extends OptionBase {
  kind: "flag";
}
export interface ValueOption extends OptionBase {
  kind: "value";
  /** What the help shows for the value: "dir". */
  value: string;
  default?: string;
  choices?: readonly string[];
}
/** May be given several times. */
export interface ListOption extends OptionBase {
  kind: "list";
  value: string;
}
/** A whole number from 0 on; 0 unless given. */
export interface CountOption extends OptionBase {
  kind: "count";
  value: string;
}
export type OptionDeclaration = FlagOption | ValueOption | ListOption | CountOption;
/** By the long name: "pid-file". */
export type OptionTable = Readonly<Record<string, OptionDeclaration>>;

type CamelCase<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;
type MayBeAbsent<Option> = Option extends { kind: "value" }
  ? Option extends { default: string }
    ? false
    : true
  : false;
type ValueOf<Option> = Option extends { kind: "flag" }
  ? boolean
  : Option extends { kind: "list" }
    ? string[]
    : Option extends { kind: "count" }
      ? number
      : Option extends { choices: readonly (infer Choice)[] }
        ? Choice
        : string;

/** What the parser makes of a table: "pid-file" is `pidFile`. */
export type OptionValues<Table extends OptionTable> = {
  -readonly [
    Name in keyof Table & string as MayBeAbsent<Table[Name]> extends true ? never : CamelCase<Name>
  ]: ValueOf<Table[Name]>;
} & {
  -readonly [
    Name in keyof Table & string as MayBeAbsent<Table[Name]> extends true ? CamelCase<Name> : never
  ]?: ValueOf<Table[Name]>;
};

export interface CommandDeclaration {
  /** "id"; "signal?" may be missing; "command..." is all that follows. */
  arguments: readonly string[];
  options: OptionTable;
  /** What follows the first argument is the command's own, options included. */
  optionsFirst?: boolean;
  /** Exit status of a failure; 1 unless given. */
  failureStatus?: number;
  /** What it resolves to is the exit status. */
  run(
    context: CommandContext,
    args: string[],
    options: Record<string, unknown>,
  ): Promise<number | void> | number | void;
}

/** A declaration whose `run` gets what its own options say. The parser checks that required arguments are there. */
export function declareCommand<const Table extends OptionTable>(
  declaration: Omit<CommandDeclaration, "run" | "options"> & {
    options: Table;
    run(
      context: CommandContext,
      args: [string, ...string[]],
      options: OptionValues<Table>,
    ): Promise<number | void> | number | void;
  },
): CommandDeclaration {
  return declaration;
}
