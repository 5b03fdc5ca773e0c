/**
 * Formats everything: prettier for TypeScript, JSON, YAML and Markdown, clang-format for C. With --check it changes
 * nothing and fails where a file is not formatted. C is left alone, with a word about it, where there is no
 * clang-format.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { dirname, join } from "node:path";

const project = dirname(import.meta.dirname);
const check = process.argv.includes("--check");

function run(command: string, args: string[]): boolean {
  const result = spawnSync(command, args, { cwd: project, stdio: ["ignore", "inherit", "inherit"] });
  if (result.error) throw result.error;
  return result.status === 0;
}

const prettier = join(project, "node_modules/prettier/bin/prettier.cjs");
const typescript = run(process.execPath, [prettier, "--log-level=warn", check ? "--check" : "--write", "."]);

let c = true;
const sources = globSync("native/{addon,executor,include,shim,test}/*.{c,h}", {
  cwd: project,
  exclude: ["native/include/*_generated.h"],
});
if (spawnSync("clang-format", ["--version"]).error)
  console.error("clang-format is not installed: C is not looked at");
else c = run("clang-format", check ? ["--dry-run", "-Werror", ...sources] : ["-i", ...sources]);

process.exitCode = typescript && c ? 0 : 1;
