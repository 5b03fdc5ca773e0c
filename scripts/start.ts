/**
 * What `npm start` runs: bundles the daemon where a source has changed, starts it with the stand-alone configuration
 * (embedded network, nothing else to set up), and says how to use it. Further arguments go to gantryd:
 *
 *   npm start -- --root /tmp/gantry/root --state /tmp/gantry/state
 */
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { loadConfig } from "../src/daemon/config.ts";
import { bundle, buildIsCurrent } from "./build.ts";

const project = dirname(import.meta.dirname);
const args = process.argv.slice(2);
if (!args.some((argument) => /^--config(=|$)/.test(argument))) {
  args.unshift("--config", join(project, "deploy/standalone.toml"));
}

/** The value of an option of gantryd, as the last one given. */
function option(name: string): string | undefined {
  const index = args.findLastIndex((argument) => argument === name || argument.startsWith(`${name}=`));
  if (index < 0) return undefined;
  return args[index] === name ? args[index + 1] : args[index]?.slice(name.length + 1);
}

function overrides(): { state?: string; listen?: string } {
  const state = option("--state");
  const listen = option("--listen");
  return { ...(state !== undefined && { state }), ...(listen !== undefined && { listen }) };
}

async function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path, () => resolve(true)).on("error", () => resolve(false));
  return await promise.finally(() => socket.destroy());
}

function usage(endpoint: string): string {
  return `
Gantry serves the CRI on ${endpoint}. In another terminal:

  export CONTAINER_RUNTIME_ENDPOINT=${endpoint}
  crictl pull docker.io/library/busybox
  echo '{"metadata":{"name":"pod","namespace":"default","uid":"1"},"linux":{}}' > pod.json
  echo '{"metadata":{"name":"hello"},"image":{"image":"docker.io/library/busybox"},
         "command":["sh","-c","while sleep 1; do date; done"],"linux":{}}' > container.json
  pod=$(crictl runp pod.json)
  container=$(crictl create $pod container.json pod.json)
  crictl start $container
  crictl exec -s $container ip addr
  crictl stopp $pod && crictl rmp $pod

Ctrl-C stops the daemon; containers run on, and the next start finds them.

`;
}

if (process.getuid?.() !== 0) {
  console.error("gantryd runs as root: sudo npm start");
  process.exit(1);
}
if (!buildIsCurrent()) await bundle();
const { listen } = loadConfig(option("--config"), overrides()).config;

const daemon = spawn(join(project, "bin/gantryd"), args, { stdio: "inherit" });
let exited = false;
daemon.on("exit", (code, signal) => {
  exited = true;
  process.exitCode = signal ? 128 + constants.signals[signal] : (code ?? 1);
});
// A Ctrl-C goes to the daemon by itself, being of the same terminal; others are passed on.
process.on("SIGINT", () => {
  if (!process.stdin.isTTY) daemon.kill("SIGINT");
});
for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => daemon.kill("SIGTERM"));

while (!exited && !(await answers(listen.slice("unix://".length)))) await delay(50);
if (!exited) process.stdout.write(usage(listen));
