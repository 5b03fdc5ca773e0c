// Makes the checkout ready and runs a script of it under the pinned Node: `node scripts/run.mjs FILE [ARGUMENT…]`.
//
// This is what stands behind `npm start` and `npm test`, so it needs nothing but a Node of any recent version: it
// installs the packages where they are missing or differ from the lock file, builds the native half, and hands over.
// Once the packages are there and the native half is built, this costs two file reads and one `make`.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(project, "node_modules");
const node = join(modules, `node-linux-${process.arch}`, "bin", "node");

function fail(message) {
  process.stderr.write(`gantry: ${message}\n`);
  process.exit(1);
}

function step(what, command, args) {
  process.stderr.write(`gantry: ${what}\n`);
  const result = spawnSync(command, args, { cwd: project, stdio: ["ignore", 2, 2] });
  if (result.error) fail(`${command}: ${result.error.message}`);
  if (result.status !== 0) fail(`${command} ${args.join(" ")} failed`);
}

/** Whether node_modules holds what the lock file says. npm leaves its own record of what it installed. */
function packagesAreCurrent() {
  let installed;
  try {
    installed = JSON.parse(readFileSync(join(modules, ".package-lock.json"), "utf8")).packages;
  } catch {
    return false;
  }
  const locked = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8")).packages;
  for (const [path, entry] of Object.entries(locked)) {
    if (path === "") continue;
    const have = installed[path];
    if (have === undefined ? !entry.optional : have.version !== entry.version) return false;
  }
  return existsSync(node);
}

function has(command) {
  return spawnSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" }).status === 0;
}

const APT_INSTALL = ["-qq", "install", "-y", "--no-install-recommends"];

/**
 * A C compiler with a static C library, and make; installed where this is Debian and we are root. For the first build
 * also the C library that makes the smaller shim, which is done without where it cannot be had.
 */
function ensureCompiler() {
  const installs = has("apt-get") && process.getuid() === 0;
  if (!has("make") || !has(process.env.CC ?? "cc")) {
    if (!installs) fail("a C compiler and make are needed: install gcc, libc6-dev and make");
    step("installing a C compiler", "apt-get", ["-qq", "update"]);
    step("installing a C compiler", "apt-get", [...APT_INSTALL, "gcc", "libc6-dev", "make"]);
  }
  const wanted = process.env.CC === undefined && !existsSync(join(project, "native/build/gantry-shim"));
  if (!installs || !wanted || has("musl-gcc")) return;
  process.stderr.write("gantry: installing musl-tools, for a smaller shim\n");
  const apt = (args) => spawnSync("apt-get", args, { stdio: ["ignore", 2, 2] }).status === 0;
  if (
    !apt([...APT_INSTALL, "musl-tools"]) &&
    !(apt(["-qq", "update"]) && apt([...APT_INSTALL, "musl-tools"]))
  )
    process.stderr.write("gantry: no musl-tools: the shim is linked with the compiler's own C library\n");
}

if (process.platform !== "linux") fail("Gantry runs on Linux only");
const [script, ...args] = process.argv.slice(2);
if (script === undefined) fail("usage: node scripts/run.mjs FILE [ARGUMENT…]");

if (!packagesAreCurrent()) step("installing packages", "npm", ["ci", "--ignore-scripts", "--loglevel=error"]);
if (!existsSync(node)) fail(`there is no pinned Node for ${process.arch}: ${node} is missing`);
ensureCompiler();
const make = spawnSync("make", ["-q", "-C", "native"], { cwd: project, stdio: "ignore" });
if (make.status !== 0)
  step("building the native half", "make", ["--no-print-directory", "-s", "-C", "native"]);

const child = spawn(node, [resolve(project, script), ...args], { stdio: "inherit" });
// A terminal's Ctrl-C reaches the child by itself; what is sent to this process alone is passed on.
for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"]) {
  process.on(signal, () => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on("error", (error) => fail(`${node}: ${error.message}`));
child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : (code ?? 1)));
