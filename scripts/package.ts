/**
 * Builds the Debian package: `npm run package` writes .cache/package/gantry_VERSION_ARCHITECTURE.deb.
 *
 * It holds the daemon's bundle, the native files and the pinned Node, and so depends on the C and C++ libraries alone.
 * Everything lies below /usr/lib/gantry as it does in a checkout, which is how bin/gantryd finds it. The same sources
 * give the same bytes: times are those of the newest source.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { createHash } from "node:crypto";
import { defaultConfigToml } from "../src/daemon/config-document.ts";
import { gantrydCommand } from "../src/daemon/command-line.ts";
import { VERSION } from "../src/daemon/version.ts";
import { bashCompletion } from "./bash-completion.ts";
import { bundle } from "./build.ts";
import { documentOfCommander, documentOfExecutor } from "./command-document.ts";
import { commandManualPage, manualPage } from "./manual-page.ts";
import { CONFIGURATION_PAGE, DAEMON_PAGE, EXECUTOR_PAGE } from "./manual-texts.ts";

const project = dirname(import.meta.dirname);
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** Installed path, and the file of the project that goes there. */
const FILES: Readonly<Record<string, string>> = {
  "usr/lib/gantry/bin/gantryd": "bin/gantryd",
  "usr/lib/gantry/bin/gantry-oci": "bin/gantry-oci",
  "usr/lib/gantry/lib/gantry/gantry.node": "native/build/gantry.node",
  "usr/lib/gantry/lib/gantry/gantry-shim": "native/build/gantry-shim",
  [`usr/lib/gantry/node_modules/node-linux-${process.arch}/bin/node`]: `node_modules/node-linux-${process.arch}/bin/node`,
  "lib/systemd/system/gantryd.service": "deploy/gantryd.service",
  "etc/gantry/config.toml": "deploy/config.toml",
  "usr/share/doc/gantry/copyright": "deploy/debian/copyright",
  "usr/share/doc/gantry/node-license": `node_modules/node-linux-${process.arch}/LICENSE`,
  "usr/share/doc/gantry/examples/crictl.yaml": "deploy/crictl.yaml",
};
const EXECUTABLE = /\/bin\/|gantry-shim$/;

/** Builds the package and returns its path. @param more a later build of the same version, as "0.1.0+MORE". */
export async function buildPackage(
  directory = join(project, ".cache/package"),
  compression: "xz" | "none" = "xz",
  more = "",
): Promise<string> {
  await bundle();
  const stage = mkdtempSync(join(tmpdir(), "gantry-package-"));
  try {
    chmodSync(stage, 0o755);
    for (const [target, source] of Object.entries(FILES))
      put(stage, target, readFileSync(join(project, source)));
    for (const file of globSync("*", { cwd: join(project, "dist") }).filter((name) => !name.endsWith(".map")))
      put(stage, `usr/lib/gantry/dist/${file}`, readFileSync(join(project, "dist", file)));
    for (const program of ["gantryd", "gantry-oci"]) {
      mkdirSync(join(stage, "usr/bin"), { recursive: true });
      symlinkSync(`../lib/gantry/bin/${program}`, join(stage, "usr/bin", program));
    }
    put(stage, "usr/share/doc/gantry/examples/config-default.toml", defaultConfigToml());
    const daemon = documentOfCommander(gantrydCommand());
    const executor = await documentOfExecutor();
    for (const command of [daemon, executor])
      put(stage, `usr/share/bash-completion/completions/${command.name}`, bashCompletion(command));
    put(stage, "usr/share/man/man8/gantryd.8.gz", zipped(commandManualPage(DAEMON_PAGE, daemon, VERSION)));
    put(
      stage,
      "usr/share/man/man8/gantry-oci.8.gz",
      zipped(commandManualPage(EXECUTOR_PAGE, executor, VERSION)),
    );
    put(stage, "usr/share/man/man5/gantry.toml.5.gz", zipped(manualPage(CONFIGURATION_PAGE, VERSION)));
    const version = more === "" ? VERSION : `${VERSION}+${more}`;
    writeControl(stage, version);
    return pack(stage, join(directory, `gantry_${version}_${architecture()}.deb`), compression);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

function put(stage: string, target: string, content: string | Uint8Array): void {
  const path = join(stage, target);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, content);
  chmodSync(path, EXECUTABLE.test(target) ? 0o755 : 0o644);
}

function zipped(page: string): Buffer {
  return gzipSync(page, { level: 9 });
}

function architecture(): string {
  const name = ARCHITECTURES[process.arch];
  if (name === undefined) throw new Error(`no package is built for ${process.arch}`);
  return name;
}

function writeControl(stage: string, version: string): void {
  const files = globSync("**", { cwd: stage, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name).slice(stage.length + 1)).toSorted();
  const kibibytes = Math.ceil(paths.reduce((sum, path) => sum + statSync(join(stage, path)).size, 0) / 1024);
  put(
    stage,
    "DEBIAN/control",
    `Package: gantry
Version: ${version}
Architecture: ${architecture()}
Maintainer: The Gantry developers <gantry@localhost>
Installed-Size: ${kibibytes}
Depends: libc6 (>= 2.28), libstdc++6 (>= 9), libgcc-s1
Recommends: apparmor, containernetworking-plugins
Section: admin
Priority: optional
Description: Kubernetes container runtime
 gantryd serves the Container Runtime Interface to a kubelet: it pulls images
 and runs pods and containers, each container under a small shim of its own
 that the daemon's stop, crash or upgrade does not touch. gantry-oci is its
 executor as an OCI runtime command.
`,
  );
  put(stage, "DEBIAN/conffiles", "/etc/gantry/config.toml\n");
  put(stage, "DEBIAN/md5sums", paths.map((path) => `${md5(join(stage, path))}  ${path}\n`).join(""));
  for (const script of ["preinst", "postinst", "prerm", "postrm"]) {
    put(stage, `DEBIAN/${script}`, readFileSync(join(project, "deploy/debian", script)));
    chmodSync(join(stage, "DEBIAN", script), 0o755);
  }
}

function md5(path: string): string {
  return createHash("md5").update(readFileSync(path)).digest("hex");
}

function pack(stage: string, path: string, compression: string): string {
  mkdirSync(dirname(path), { recursive: true });
  const sources = globSync(["src/**/*.ts", "native/**/*.[ch]", "deploy/**/*", "package-lock.json"], {
    cwd: project,
  });
  const newest = Math.max(...sources.map((name) => statSync(join(project, name)).mtimeMs));
  execFileSync("dpkg-deb", ["--root-owner-group", `-Z${compression}`, "--build", stage, path], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(Math.floor(newest / 1000)) },
    stdio: ["ignore", "ignore", "inherit"],
  });
  return path;
}

if (import.meta.main) console.log(await buildPackage());
