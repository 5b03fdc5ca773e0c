/** gantry-oci as a package installs it, bundled and compiled, for tests in which other engines call it many times. */
import { copyFileSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { bundleExecutor } from "../../scripts/build.ts";

const project = join(import.meta.dirname, "../..");

/** @param directory an empty one. @returns the program's path. */
export async function installExecutor(directory: string): Promise<string> {
  for (const name of ["bin", "lib/gantry", "node_modules"])
    mkdirSync(join(directory, name), { recursive: true });
  const program = join(directory, "bin/gantry-oci");
  copyFileSync(join(project, "bin/gantry-oci"), program);
  for (const name of ["gantry.node", "gantry-shim"])
    symlinkSync(join(project, "native/build", name), join(directory, "lib/gantry", name));
  const node = `node_modules/node-linux-${process.arch}`;
  symlinkSync(join(project, node), join(directory, node));
  await bundleExecutor(join(directory, "dist"));
  return program;
}
