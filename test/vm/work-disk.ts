/** The disk with the work tree: the sources as they stand, the packages, what is built, and the caches of programs. */
import { existsSync } from "node:fs";
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bundle } from "../../scripts/build.ts";
import { runCommand } from "../harness/command.ts";

const project = join(import.meta.dirname, "../..");
const SIZE = "3G";

/** Not in git, but needed: what is installed and built. What only checks and builds use of the packages is left out. */
const BUILT = ["node_modules", "native/build", "dist", ".cache/bin"];
const LEFT_OUT = ["@typescript", "@oxlint", "@oxlint-tsgolint", "@esbuild", "prettier", "typescript"];

/** Makes the disk in a directory. @param more files to put into the tree: path in it, and file of the host. */
export async function workDisk(
  directory: string,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const tree = join(directory, "tree");
  const disk = join(directory, "work.img");
  await bundle();
  await mkdir(tree, { recursive: true });
  try {
    const list = await command("git", ["ls-files", "-co", "--exclude-standard", "-z"]);
    // What is deleted and not yet committed is still listed.
    const sources = list.split("\0").filter((path) => path !== "" && existsSync(join(project, path)));
    await writeFile(join(directory, "list"), sources.join("\0"));
    await command("sh", [
      "-c",
      'xargs -0 cp -a --parents -t "$2" <"$1"',
      "sh",
      join(directory, "list"),
      tree,
    ]);
    await command("cp", ["-al", "--parents", "-t", tree, ...BUILT]);
    for (const name of LEFT_OUT) await rm(join(tree, "node_modules", name), { recursive: true, force: true });
    for (const [path, source] of Object.entries(more)) {
      await mkdir(join(tree, path, ".."), { recursive: true });
      await cp(source, join(tree, path), { recursive: true, preserveTimestamps: true });
    }
    await command("mkfs.ext4", ["-q", "-F", "-O", "^has_journal", "-d", tree, disk, SIZE]);
    return disk;
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

async function command(program: string, args: readonly string[]): Promise<string> {
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
  const { code, stdout, stderr } = await runCommand(program, args, { cwd: project, env });
  if (code !== 0) throw new Error(`${program}: ${stderr}`);
  return stdout;
}
