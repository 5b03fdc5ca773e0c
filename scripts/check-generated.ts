/**
 * Checks that every generated file in the tree is what its generator makes today; with --write, makes them anew.
 *
 * The check runs the generators in a copy of the sources, so that the tree is never half generated under somebody's
 * hands. A new generator is one more line in GENERATORS.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** Each script makes the files that match its patterns, and no others. */
const GENERATORS = [
  {
    script: "scripts/generate-native-headers.ts",
    outputs: ["native/include/*_generated.h", "src/oci/plan-fingerprint-generated.ts"],
  },
  { script: "scripts/generate-proto-types.ts", outputs: ["src/{cri,nri}/generated/**/*.{ts,json}"] },
  { script: "scripts/generate-config-docs.ts", outputs: ["docs/configuration.md"] },
];

const project = dirname(import.meta.dirname);

function generate(directory: string): boolean {
  return GENERATORS.every(({ script }) => {
    const result = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", script], {
      cwd: directory,
      stdio: ["ignore", "inherit", "inherit"],
    });
    return result.status === 0;
  });
}

function outputsIn(directory: string): Set<string> {
  return new Set(GENERATORS.flatMap(({ outputs }) => globSync(outputs, { cwd: directory })));
}

/** The files that differ, or that only one of the two trees has. */
function differences(directory: string): string[] {
  const names = new Set([...outputsIn(project), ...outputsIn(directory)]);
  const contents = (root: string, name: string): string =>
    existsSync(join(root, name)) ? readFileSync(join(root, name), "utf8") : "";
  return [...names].filter((name) => contents(project, name) !== contents(directory, name)).toSorted();
}

if (process.argv.includes("--write")) {
  process.exitCode = generate(project) ? 0 : 1;
} else {
  const copy = mkdtempSync(join(tmpdir(), "gantry-generated-"));
  try {
    for (const name of [
      "docs",
      "native",
      "proto",
      "scripts",
      "src",
      "package.json",
      "tsconfig.json",
      ".prettierrc.json",
    ]) {
      cpSync(join(project, name), join(copy, name), {
        recursive: true,
        filter: (path) => !path.includes("/native/build"),
      });
    }
    symlinkSync(join(project, "node_modules"), join(copy, "node_modules"));
    const done = generate(copy);
    const stale = done ? differences(copy) : [];
    for (const name of stale) console.error(`${name} is not what its generator makes: run npm run generate`);
    process.exitCode = done && stale.length === 0 ? 0 : 1;
  } finally {
    rmSync(copy, { recursive: true });
  }
}
