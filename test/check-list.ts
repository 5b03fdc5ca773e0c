/** The checks that are no tests: each is a command that passes with status 0. `npm test` runs them before the tests. */
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";

const project = dirname(import.meta.dirname);
const bin = join(project, "node_modules/.bin");
const node = process.execPath;

const CHECKS: Record<string, string[]> = {
  types: [node, join(bin, "tsc"), "-p", "."],
  lint: [node, join(bin, "oxlint"), "--type-aware", "--deny-warnings"],
  format: [node, "scripts/format.ts", "--check"],
  imports: [node, "scripts/check-imports.ts"],
  "generated files": [node, "scripts/check-generated.ts"],
  // The daemons of the tests then run from it, as installed ones do.
  bundle: [node, "scripts/build.ts"],
};

/** Runs all; the output of those that fail is shown. Resolves to their names by outcome. */
export function runChecks(): { passed: string[]; failed: string[] } {
  const passed: string[] = [];
  const failed: string[] = [];
  for (const [name, [command = "", ...args]] of Object.entries(CHECKS)) {
    const { status, stdout, stderr } = spawnSync(command, args, {
      cwd: project,
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    (status === 0 ? passed : failed).push(name);
    console.log(`${status === 0 ? "✔" : "✖"} check: ${name}`);
    if (status !== 0) console.log(`${stdout}${stderr}`.trimEnd());
  }
  return { passed, failed };
}
