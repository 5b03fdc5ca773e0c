/**
 * Checks that imports go one way: `node scripts/check-imports.ts [DIRECTORY]` fails on an arrow that points back.
 *
 * Every import of every file below src is held against import-rules.ts, and the graph of files and that of modules
 * must have no cycle. Between modules a type counts like a value. Within a module, `import type` makes no cycle of
 * files, as it is gone when they run. Tests beside the sources may import what their module may.
 */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { BASE_MAY_NOT, BUILT_IN, MODULES, PACKAGES, TEST_PACKAGES } from "./import-rules.ts";

const IMPORT =
  /(?:^|[\s;])(?:import|export)\s(?:[^"'`;]*?\sfrom\s*)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/gm;

export interface Import {
  specifier: string;
  /** `import type` or `export type`. */
  typeOnly: boolean;
}

/** A file's imports, re-exports and dynamic imports. Comments do not count. */
export function importsOf(source: string): Import[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/[^\n]*/g, "$1");
  return Array.from(code.matchAll(IMPORT), (match) => ({
    specifier: match[1] ?? match[2] ?? "",
    typeOnly: /^\s*;?\s*(import|export)\s+type\s/.test(match[0]),
  }));
}

/**
 * @param files sources by path below src: "engine/pod-run.ts".
 * @returns one line for each violation, sorted.
 */
export function checkImports(files: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  const graph = new Map<string, string[]>();
  for (const [file, source] of files) {
    const targets: string[] = [];
    for (const { specifier, typeOnly } of importsOf(source)) {
      const target = specifier.startsWith(".") ? relative(".", join(dirname(file), specifier)) : undefined;
      const problem =
        target === undefined ? packageProblem(file, specifier) : fileProblem(file, target, files);
      if (problem !== undefined) problems.push(`${file}: ${problem}`);
      else if (target !== undefined && !typeOnly) targets.push(target);
    }
    graph.set(file, targets);
  }
  return [...problems.toSorted(), ...cycles(graph)];
}

function moduleOf(file: string): string {
  return file.split("/", 1)[0] ?? file;
}

function isTest(file: string): boolean {
  return file.endsWith(".test.ts") || /(^|[-./])(test|fake|stub|suite|fixture)[-.]/.test(file);
}

function fileProblem(file: string, target: string, files: ReadonlyMap<string, string>): string | undefined {
  if (target === "../package.json" && moduleOf(file) === "daemon") return undefined;
  if (target.startsWith("..")) return isTest(file) ? undefined : `imports ${target}, which is outside of src`;
  if (!files.has(target))
    return target.endsWith(".ts") ? `imports ${target}, which does not exist` : undefined;
  if (isTest(target) && !isTest(file)) return `imports the test file ${target}`;
  const from = moduleOf(file);
  const to = moduleOf(target);
  if (from === to) return undefined;
  const allowed = MODULES[from];
  if (allowed === undefined) return `module "${from}" is not in the table`;
  if (allowed.includes(to) || allowed.includes(target.replace(/\.ts$/, ""))) return undefined;
  return `imports ${target}: ${from} may import ${allowed.join(", ") || "no other module"}`;
}

function packageProblem(file: string, specifier: string): string | undefined {
  const from = moduleOf(file);
  if (isTest(file) && TEST_PACKAGES.includes(specifier)) return undefined;
  if (specifier.startsWith("node:")) {
    const allowed = BUILT_IN[specifier];
    const forbidden =
      allowed === undefined ? from === "base" && BASE_MAY_NOT.includes(specifier) : !allowed.includes(from);
    return forbidden ? `imports ${specifier}, which ${from} may not` : undefined;
  }
  const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
  const allowed = PACKAGES[name];
  if (allowed === undefined) return `imports the package ${name}, which is not in the table`;
  return allowed.includes(from) ? undefined : `imports the package ${name}: only ${allowed.join(", ")} may`;
}

/** One line for each knot in the graph of files, or of modules. */
function cycles(graph: ReadonlyMap<string, string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const start = path.indexOf(file);
    if (start >= 0) found.push(`cycle: ${[...path.slice(start), file].join(" → ")}`);
    if (start >= 0 || done.has(file)) return;
    path.push(file);
    for (const target of graph.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return found;
}

/** The modules of the table must themselves form a graph without cycles. */
export function tableCycles(modules: Readonly<Record<string, readonly string[]>> = MODULES): string[] {
  return cycles(new Map(Object.entries(modules).map(([name, below]) => [name, below.map(moduleOf)])));
}

if (import.meta.main) {
  const directory = process.argv[2] ?? join(import.meta.dirname, "../src");
  const names = globSync("**/*.ts", { cwd: directory });
  const files = new Map(names.map((name) => [name, readFileSync(join(directory, name), "utf8")]));
  const problems = [...checkImports(files), ...tableCycles()];
  for (const problem of problems) console.error(problem);
  console.error(
    `imports of ${files.size} files: ${problems.length === 0 ? "as the table says" : `${problems.length} wrong`}`,
  );
  process.exitCode = problems.length === 0 ? 0 : 1;
}
