/**
 * The reference CNI plugins of a release that speaks version 1.1 of the specification, from the Go module that
 * test/cni-plugins pins; Debian's are older. Built once for each version into .cache/bin.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const module = join(root, "test/cni-plugins");

/** A directory with bridge, host-local and portmap. */
export async function referencePlugins(): Promise<string> {
  const hash = createHash("sha256")
    .update(readFileSync(join(module, "go.sum")))
    .digest("hex")
    .slice(0, 12);
  const directory = join(root, `.cache/bin/cni-${hash}`);
  if (existsSync(directory)) return directory;
  const half = `${directory}.${process.pid}`;
  await run("go", ["build", "-o", `${half}/`, "tool"], {
    cwd: module,
    env: { ...process.env, CGO_ENABLED: "0" },
  });
  await rename(half, directory).catch(() => rm(half, { recursive: true, force: true }));
  return directory;
}
