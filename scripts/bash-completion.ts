/** Makes the bash completion of a command line: commands and options of what has been typed so far. */
import type { CommandDocument } from "./command-document.ts";

/** A script to be sourced by bash-completion, under the program's name. */
export function bashCompletion(command: CommandDocument): string {
  const name = command.name;
  const shell = `_${name.replaceAll("-", "_")}`;
  const cases = paths(command, []).map(({ path, words }) => `    "${path}") words="${words.join(" ")}" ;;`);
  return `# bash completion of ${name}
${shell}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" word words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in
${paths(command, [])
  .filter(({ path }) => path !== "")
  .map(({ path }) => `      "${parent(path)} ${path.split(" ").at(-1)}") path="${path}" ;;`)
  .join("\n")}
    esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  case "$current" in
    -*) ;;
    */* | .*) words="" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F ${shell} ${name}
`;
}

interface Place {
  /** The commands typed so far: "config check". */
  path: string;
  words: string[];
}

function paths(command: CommandDocument, parents: readonly string[]): Place[] {
  const options = command.options.flatMap(({ short, long }) => [short, long]);
  const words = [...command.commands.map((each) => each.name), ...options, "--help"].filter(
    (word) => word !== undefined,
  );
  return [
    { path: parents.join(" "), words },
    ...command.commands.flatMap((each) => paths(each, [...parents, each.name])),
  ];
}

function parent(path: string): string {
  return path.split(" ").slice(0, -1).join(" ");
}
