/**
 * A process that runs containers one after another through gantry-oci's own code for `run`, several at a time, and looks
 * after each whether anything of the host's was reached. A process of its own, as another executor may be chosen for it
 * by GANTRY_NATIVE_DIR. Its argument is a DriverOrder as JSON, its result a file with a DriverReport.
 */
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import { errorMessage } from "../../src/base/errors.ts";
import { CommandLog, type CommandContext } from "../../src/oci/command/command-context.ts";
import { run } from "../../src/oci/command/run.ts";
import { type Kind, specOf } from "./shared-volume-kinds.ts";

export interface DriverOrder {
  directory: string;
  /** File that gets the report. */
  report: string;
  /** Of all containers, which have groups in it. */
  cgroup: string;
  /** Of names, so that drivers that follow each other do not use the same. */
  prefix: string;
  kinds: Kind[];
  rounds: number;
  /** Containers at the same time. */
  width: number;
  /** End with the first round in which something was reached. */
  untilLost: boolean;
}

export interface DriverReport {
  /** By kind: "exit 0", "ELOOP" … and how often. */
  outcomes: Record<string, Record<string, number>>;
  /** Rounds after which the host's directory was another than before, or had a mount on it. */
  touched: string[];
}

const order = JSON.parse(process.argv[2] ?? "") as DriverOrder;
const { directory, kinds, untilLost } = order;
const context: CommandContext = {
  root: join(directory, "root"),
  log: new CommandLog(join(directory, "log"), "text", false),
  systemdCgroup: false,
};
const host = join(directory, "host");
const PLACES = ["/v/a", "/v/u"] as const;
const ESCAPED = 42;

/** Whatever can be seen of it: any change of a file shows in its times. */
function hostState(): string {
  const files = ["", ...readdirSync(host, { recursive: true, encoding: "utf8" })].toSorted();
  const facts = files.map((name) => {
    const { ino, mode, uid, gid, size, mtimeNs, ctimeNs } = lstatSync(join(host, name), { bigint: true });
    return [name, ino, mode, uid, gid, size, mtimeNs, ctimeNs].join(" ");
  });
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(`${directory}/`));
  return [...facts, ...mounts].join("\n");
}

const report: DriverReport = { outcomes: Object.fromEntries(kinds.map((kind) => [kind, {}])), touched: [] };
let known = hostState();
let next = 0;
let lost = false;

async function attempt(kind: Kind, number: number, bundle: string): Promise<string> {
  const id = `${order.prefix}${number}`;
  const place = PLACES[Math.floor(number / kinds.length) % PLACES.length] ?? PLACES[0];
  const spec = specOf(kind, { directory, cgroupsPath: `${order.cgroup}/${id}`, number, place });
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  const options = { bundle, noPivot: false, noNewKeyring: false, preserveFds: 0, detach: false };
  try {
    return `exit ${await run(context, id, { ...options, keep: false, noSubreaper: false })}`;
  } catch (error) {
    const message = errorMessage(error);
    return /: (E[A-Z]+)$/.exec(message)?.[1] ?? message;
  }
}

async function work(slot: number): Promise<void> {
  const bundle = join(directory, `bundle${slot}`);
  mkdirSync(bundle, { recursive: true });
  while (next < order.rounds && !(untilLost && lost)) {
    const number = next++;
    const kind = kinds[number % kinds.length];
    if (kind === undefined) break;
    const outcome = await attempt(kind, number, bundle);
    const counts = report.outcomes[kind] ?? {};
    counts[outcome] = (counts[outcome] ?? 0) + 1;
    const now = hostState();
    if (now !== known) report.touched.push(`${kind}: ${now}`);
    lost ||= now !== known || outcome === `exit ${ESCAPED}`;
    known = now;
  }
}

/* A round is many processes that wait for each other, each of which would wait for the end of the other container's slice. */
setPriority(-10);
await Promise.all(Array.from({ length: order.width }, (_, slot) => work(slot)));
writeFileSync(order.report, JSON.stringify(report));
