/**
 * The programs of the OCI runtime-tools' validation suite, from the Go module that test/oci/tools pins, built once for
 * each version into .cache/oci, with what they look for in their working directory: `runtimetest`, which they copy into
 * bundles, and a root filesystem, which is made of the host's static busybox.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { copyFile, mkdir, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const module = join(import.meta.dirname, "tools");
const cache = join(import.meta.dirname, "../../.cache/oci");
const BUSYBOX = "/bin/busybox";
/** What the suite calls this machine. */
const GO_ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

export interface ValidationPrograms {
  names: string[];
  /** Of the programs, by name. */
  directory: string;
  /** To run them in. */
  workDirectory: string;
  /** Of the suite. */
  version: string;
}

export async function validationPrograms(): Promise<ValidationPrograms> {
  const pins = readFileSync(join(module, "go.mod"), "utf8") + readFileSync(join(module, "go.sum"), "utf8");
  const hash = createHash("sha256").update(pins).digest("hex").slice(0, 12);
  const whole = join(cache, `suite-${hash}`);
  if (!existsSync(whole)) {
    const half = `${whole}.${process.pid}`;
    await build(half);
    // Somebody else may have been faster.
    await rename(half, whole).catch(() => rm(half, { recursive: true, force: true }));
  }
  const directory = join(whole, "programs");
  return {
    names: (await readdir(directory)).toSorted(),
    directory,
    workDirectory: join(whole, "work"),
    version: /opencontainers\/runtime-tools (v\S+)/.exec(pins)?.[1] ?? "",
  };
}

async function build(directory: string): Promise<void> {
  const programs = join(directory, "programs");
  const work = join(directory, "work");
  await mkdir(work, { recursive: true });
  await run("go", ["build", "-trimpath", "-ldflags=-s -w", "-o", `${programs}/`, "tool"], {
    cwd: module,
    env: { ...process.env, CGO_ENABLED: "0" },
  });
  await rename(join(programs, "runtimetest"), join(work, "runtimetest"));
  const rootfs = join(directory, "rootfs");
  await makeRootfs(rootfs);
  await run("tar", ["-C", rootfs, "-czf", join(work, `rootfs-${GO_ARCHITECTURE}.tar.gz`), "."]);
  await rm(rootfs, { recursive: true });
}

async function makeRootfs(rootfs: string): Promise<void> {
  for (const name of ["bin", "dev", "etc", "proc", "sys", "tmp"])
    await mkdir(join(rootfs, name), { recursive: true });
  await copyFile(BUSYBOX, join(rootfs, "bin/busybox"));
  const { stdout } = await run(BUSYBOX, ["--list"]);
  for (const name of stdout.split("\n").filter((line) => line !== "" && line !== "busybox"))
    await symlink("busybox", join(rootfs, "bin", name));
  await writeFile(join(rootfs, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
  await writeFile(join(rootfs, "etc/group"), "root:x:0:\n");
}
