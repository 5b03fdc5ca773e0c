/**
 * The NRI plugin of the tests (test/nri/plugin), on the upstream stub: built once for each version of its sources, and
 * what it wrote down.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runCommand } from "./command.ts";
import { patient } from "./patience.ts";

const root = join(import.meta.dirname, "../..");
const source = join(root, "test/nri/plugin");

/** The path of the program. */
export async function nriPlugin(): Promise<string> {
  const hash = createHash("sha256");
  for (const file of ["main.go", "go.sum"]) hash.update(readFileSync(join(source, file)));
  const directory = join(root, ".cache/bin");
  const program = join(directory, `nri-plugin-${hash.digest("hex").slice(0, 12)}`);
  if (existsSync(program)) return program;
  await mkdir(directory, { recursive: true });
  const half = `${program}.${process.pid}`;
  const { code, stderr } = await runCommand("go", ["build", "-o", half, "."], {
    cwd: source,
    env: { ...process.env, CGO_ENABLED: "0" },
  });
  if (code !== 0) throw new Error(`building the NRI plugin: ${stderr}`);
  await rename(half, program);
  return program;
}

export interface NriEvent {
  event: string;
  pod?: string;
  container?: string;
  name?: string;
  state?: string;
  exitCode?: number;
  pods?: string[];
  containers?: string[];
  failed?: number;
}

export function nriEvents(log: string): NriEvent[] {
  if (!existsSync(log)) return [];
  const lines = readFileSync(log, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as NriEvent);
}

/** Waits for an event that matches. */
export async function nriEvent(log: string, wanted: (event: NriEvent) => boolean): Promise<NriEvent> {
  for (const end = performance.now() + patient(30_000); performance.now() < end; await sleep(20)) {
    const event = nriEvents(log).find(wanted);
    if (event) return event;
  }
  throw new Error(`no such event:\n${JSON.stringify(nriEvents(log), null, 1)}`);
}
