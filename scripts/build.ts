/**
 * Bundles the daemon, the OCI command and the unpacking worker into dist/, as ES modules for the pinned Node.
 *
 * One file each, because reading one file takes half the time of resolving hundreds. The native addon stays where
 * make puts it. `buildIsCurrent` tells whether dist/ is newer than every source, so that a start need not bundle.
 */
import { build } from "esbuild";
import { existsSync, globSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

const project = dirname(import.meta.dirname);

/** Output name, and the source that is its entry. */
const BUNDLES: Record<string, string> = {
  gantryd: "src/daemon/main.ts",
  "gantry-oci": "src/oci/command/main.ts",
  "unpack-worker": "src/image/unpack/unpack-worker.ts",
};

/** Packages in the older module format ask for these. */
const COMMONJS_NAMES = `
import { createRequire as __createRequire } from "node:module";
const require = __createRequire(import.meta.url);
const __filename = import.meta.filename;
const __dirname = import.meta.dirname;
`;

export async function bundle(): Promise<void> {
  const entryPoints = Object.fromEntries(
    Object.entries(BUNDLES).filter(([, source]) => existsSync(join(project, source))),
  );
  rmSync(join(project, "dist"), { recursive: true, force: true });
  await build({
    absWorkingDir: project,
    entryPoints,
    outdir: "dist",
    bundle: true,
    platform: "node",
    format: "esm",
    // What is imported when it is needed (a pretty log, the serving half) stays out of the first file.
    splitting: true,
    chunkNames: "[name]-[hash]",
    target: "node24",
    sourcemap: "linked",
    legalComments: "linked",
    minifySyntax: true,
    minifyWhitespace: true,
    keepNames: false,
    banner: { js: COMMONJS_NAMES.trim().replaceAll("\n", " ") },
    logLevel: "warning",
  });
}

export function buildIsCurrent(): boolean {
  const inputs = ["package-lock.json", "scripts/build.ts", ...globSync("src/**/*.ts", { cwd: project })];
  const newest = Math.max(...inputs.map((name) => statSync(join(project, name)).mtimeMs));
  const outputs = Object.keys(BUNDLES).map((name) => join(project, "dist", `${name}.js`));
  return outputs.every((path) => existsSync(path) && statSync(path).mtimeMs > newest);
}

if (import.meta.main) await bundle();
