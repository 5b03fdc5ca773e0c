/** Programs of Debian packages, with the libraries they need, as layer entries. Nothing is installed for them. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { file, type LayerEntry } from "./image-builder.ts";

const run = promisify(execFile);

/** Unpacks a package that need not be installed; returns the directory, which the caller deletes. */
export async function unpackDebian(packageName: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-deb-"));
  await run("apt-get", ["download", "-q", packageName], { cwd: directory });
  const archive = (await readdir(directory)).find((name) => name.endsWith(".deb"));
  if (!archive) throw new Error(`apt-get download ${packageName} gave no package`);
  const root = join(directory, "root");
  await mkdir(root);
  await run("dpkg", ["-x", join(directory, archive), root]);
  await rm(join(directory, archive));
  return root;
}

/** A program at `destination` and every library that the dynamic linker names, at the paths it names. */
export async function program(path: string, destination: string): Promise<LayerEntry[]> {
  const entries = [file(destination, await readFile(path), 0o755)];
  const { stdout } = await run("ldd", [path]).catch(() => ({ stdout: "" }));
  for (const line of stdout.split("\n")) {
    const library = line.split(/\s+/).find((word) => word.startsWith("/"));
    if (library) entries.push(file(library.slice(1), await readFile(await realpath(library)), 0o755));
  }
  return entries;
}

/** A small static program from C source. */
export async function compiled(source: string): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-cc-"));
  try {
    const output = join(directory, "program");
    const child = run("gcc", ["-static", "-Os", "-s", "-x", "c", "-", "-o", output]);
    child.child.stdin?.end(source);
    await child;
    return await readFile(output);
  } finally {
    await rm(directory, { recursive: true });
  }
}
