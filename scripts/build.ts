/**
 * Bundles the daemon, the OCI command and the unpacking worker into dist/, as ES modules for the pinned Node; the OCI
 * command, which starts anew for each call, as one script with its compiled code.
 *
 * One file each, because reading one file takes half the time of resolving hundreds. The native addon stays where
 * make puts it. `buildIsCurrent` tells whether dist/ is newer than every source, so that a start need not bundle.
 */
import { build, type Plugin } from "esbuild";
import { execFileSync } from "node:child_process";
import { existsSync, globSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

const project = dirname(import.meta.dirname);

/** Output name, and the source that is its entry. */
const BUNDLES: Record<string, string> = {
  gantryd: "src/daemon/main.ts",
  "unpack-worker": "src/image/unpack/unpack-worker.ts",
};

/** What gantry-oci needs for systemd only; read then, as it is a third of the whole. */
const DBUS = "@homebridge/dbus-native";

const EXECUTOR_BUNDLES: Record<string, string> = {
  "gantry-oci": "src/oci/command/installed.ts",
  "gantry-oci-program": "src/oci/command/main.ts",
  "gantry-oci-dbus": DBUS,
};

const DBUS_APART: Plugin = {
  name: "dbus-apart",
  setup(builder) {
    builder.onResolve({ filter: new RegExp(`^${DBUS}$`) }, ({ kind }) =>
      kind === "entry-point" ? undefined : { path: "./gantry-oci-dbus.cjs", external: true },
    );
  },
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
  await bundleExecutor(join(project, "dist"));
}

/** The OCI command alone, which tests of it use. @param outdir absolute; what is there stays. */
export async function bundleExecutor(outdir: string): Promise<void> {
  await build({
    absWorkingDir: project,
    entryPoints: EXECUTOR_BUNDLES,
    outdir,
    outExtension: { ".js": ".cjs" },
    plugins: [DBUS_APART],
    bundle: true,
    platform: "node",
    format: "cjs",
    // What is imported when it is needed is in the same file, and its functions run when it is needed.
    define: { "import.meta.dirname": "__dirname", "import.meta.url": "__filename" },
    // A script has no way to import another file, but it has `require`.
    supported: { "dynamic-import": false },
    target: "node24",
    charset: "ascii",
    legalComments: "none",
    minifySyntax: true,
    minifyWhitespace: true,
    logLevel: "warning",
  });
  const compiler = join(project, "scripts/compile-program.ts");
  execFileSync(process.execPath, [
    "--hash-seed=1",
    "--disable-warning=ExperimentalWarning",
    compiler,
    outdir,
  ]);
}

export function buildIsCurrent(): boolean {
  const inputs = ["package-lock.json", "scripts/build.ts", ...globSync("src/**/*.ts", { cwd: project })];
  const newest = Math.max(...inputs.map((name) => statSync(join(project, name)).mtimeMs));
  const names = [
    ...Object.keys(BUNDLES).map((name) => `${name}.js`),
    ...Object.keys(EXECUTOR_BUNDLES).map((name) => `${name}.cjs`),
    "gantry-oci-program.cache",
  ];
  const outputs = names.map((name) => join(project, "dist", name));
  return outputs.every((path) => existsSync(path) && statSync(path).mtimeMs > newest);
}

if (import.meta.main) await bundle();
