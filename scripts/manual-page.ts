/**
 * Makes a manual page (roff) from a command line and from paragraphs of text, so that what `--help` says and what
 * `man` says are the same.
 */
import type { CommandDocument } from "./command-document.ts";

export interface ManualPage {
  name: string;
  section: number;
  /** One line, without a full stop. */
  summary: string;
  /** Heading and paragraphs of further sections. */
  sections: Readonly<Record<string, readonly string[]>>;
}

/** A page that describes no command: a file format. */
export function manualPage(page: ManualPage, version: string): string {
  return [...title(page, version), ...furtherSections(page)].join("\n") + "\n";
}

/** A page of a program with its options and commands. */
export function commandManualPage(page: ManualPage, command: CommandDocument, version: string): string {
  return (
    [
      ...title(page, version),
      ".SH SYNOPSIS",
      `.B ${text(page.name)}`,
      text(command.commands.length > 0 ? "[OPTIONS] [COMMAND]" : "[OPTIONS]"),
      ".SH OPTIONS",
      ...options(command),
      ".SH COMMANDS",
      ...command.commands.flatMap((each) => describeCommand(each, [])),
      ...furtherSections(page),
    ].join("\n") + "\n"
  );
}

function title(page: ManualPage, version: string): string[] {
  return [
    `.TH ${page.name.toUpperCase().replaceAll("-", "\\-")} ${page.section} "" "Gantry ${version}" "Gantry"`,
    ".SH NAME",
    `${text(page.name)} \\- ${text(page.summary)}`,
  ];
}

function furtherSections(page: ManualPage): string[] {
  return Object.entries(page.sections).flatMap(([heading, paragraphs]) => [
    `.SH ${text(heading)}`,
    ...paragraphs.flatMap((paragraph) => [".PP", text(paragraph)]),
  ]);
}

function describeCommand(command: CommandDocument, parents: readonly string[]): string[] {
  const path = [...parents, command.name];
  const words = [
    path.join(" "),
    ...command.arguments.map((word) => word.replace(/[<>]/g, "").toUpperCase()),
  ].join(" ");
  const lines = [".TP", `.B ${text(words)}`, text(command.description)];
  const own = options(command);
  if (own.length > 0) lines.push(".RS", ...own, ".RE");
  return [...lines, ...command.commands.flatMap((each) => describeCommand(each, path))];
}

function options(command: CommandDocument): string[] {
  return command.options.flatMap((option) => [
    ".TP",
    `.B ${text(option.flags)}`,
    text(option.description || "(no explanation)"),
  ]);
}

/** Text that roff takes as it is: no line of it starts a request. */
function text(value: string): string {
  return value
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .split("\n")
    .map((line) => (/^[.']/.test(line) ? `\\&${line}` : line))
    .join("\n");
}
