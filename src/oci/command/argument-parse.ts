/**
 * Reads a command line by a table of options: "--name value", "--name=value", "-n value", flags of one letter together
 * ("-dt"), and, as other runtimes take them, long names with one dash. Options may follow arguments, unless the command
 * passes on what follows; "--" ends them.
 */
import { GantryError } from "../../base/errors.ts";
import type { OptionDeclaration, OptionTable } from "./command-declaration.ts";

export interface ParsedArguments {
  values: Record<string, unknown>;
  args: string[];
}

/**
 * @param optionsFirst whether the first argument ends the options.
 * @throws GantryError invalid-argument that names the option.
 */
export function parseArguments(
  words: readonly string[],
  table: OptionTable,
  optionsFirst: boolean,
): ParsedArguments {
  const values = defaults(table);
  const args: string[] = [];
  let index = 0;
  const next = (name: string): string => {
    const word = words[index++];
    if (word === undefined) throw new GantryError("invalid-argument", `option ${name} needs a value`);
    return word;
  };
  while (index < words.length) {
    const word = words[index++] as string;
    if (word === "--") {
      args.push(...words.slice(index));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      if (optionsFirst) {
        args.push(word, ...words.slice(index));
        break;
      }
      args.push(word);
      continue;
    }
    const [, dashes = "", name = "", given] = /^(--?)([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    const known = findOption(table, name);
    if (known) take(values, known, given, next, `${dashes}${name}`);
    else takeLetters(values, table, word, next);
  }
  return { values, args };
}

type Found = [name: string, option: OptionDeclaration];

function findOption(table: OptionTable, name: string): Found | undefined {
  if (name.length > 1)
    return Object.hasOwn(table, name) ? [name, table[name] as OptionDeclaration] : undefined;
  return Object.entries(table).find(([, { short }]) => short === name);
}

/** "-dt": flags, and the last may take a value. */
function takeLetters(
  values: Record<string, unknown>,
  table: OptionTable,
  word: string,
  next: (name: string) => string,
): void {
  const letters = word.startsWith("--") ? [] : Array.from(word.slice(1));
  const found = letters.map((letter) => findOption(table, letter));
  const isBundle = found.every((each, at) => each && (each[1].kind === "flag" || at === letters.length - 1));
  if (letters.length === 0 || !isBundle)
    throw new GantryError("invalid-argument", `flag provided but not defined: ${word.replace(/=.*/s, "")}`);
  found.forEach((each, at) => {
    if (each) take(values, each, undefined, next, `-${letters[at]}`);
  });
}

function take(
  values: Record<string, unknown>,
  [name, option]: Found,
  given: string | undefined,
  next: (name: string) => string,
  shown: string,
): void {
  const key = camelCase(name);
  if (option.kind === "flag") {
    values[key] = truth(given, shown);
    return;
  }
  const value = given ?? next(shown);
  switch (option.kind) {
    case "list":
      (values[key] as string[]).push(value);
      break;
    case "count":
      if (!/^\d{1,6}$/.test(value))
        throw new GantryError(
          "invalid-argument",
          `invalid value ${JSON.stringify(value)} for ${shown}: not a number`,
        );
      values[key] = Number(value);
      break;
    case "value":
      if (option.choices && !option.choices.includes(value))
        throw new GantryError(
          "invalid-argument",
          `invalid value ${JSON.stringify(value)} for ${shown}: one of ${option.choices.join(", ")}`,
        );
      values[key] = value;
      break;
  }
}

function truth(text: string | undefined, shown: string): boolean {
  if (text === undefined || /^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw new GantryError(
    "invalid-argument",
    `invalid value ${JSON.stringify(text)} for ${shown}: true or false`,
  );
}

function defaults(table: OptionTable): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(table)) {
    if (option.kind === "flag") values[camelCase(name)] = false;
    else if (option.kind === "list") values[camelCase(name)] = [];
    else if (option.kind === "count") values[camelCase(name)] = 0;
    else if (option.default !== undefined) values[camelCase(name)] = option.default;
  }
  return values;
}

function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_match, letter: string) => letter.toUpperCase());
}

/** @param wanted as a declaration has them. @throws GantryError invalid-argument for too few or too many. */
export function checkArgumentCount(
  args: readonly string[],
  wanted: readonly string[],
  command: string,
): void {
  const least = wanted.filter((name) => /^[^?.]*$/.test(name)).length;
  const most = wanted.some((name) => name.endsWith("...")) ? Infinity : wanted.length;
  const fail = (bound: string): never => {
    throw new GantryError("invalid-argument", `gantry-oci: "${command}" requires ${bound} argument(s)`);
  };
  if (least === most && args.length !== least) fail(`exactly ${least}`);
  if (args.length < least) fail(`a minimum of ${least}`);
  if (args.length > most) fail(`a maximum of ${most}`);
}
