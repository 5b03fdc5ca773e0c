/**
 * What a running daemon holds on the host and in its directories, one line each: after everything was removed by the
 * CRI the lines are those from before, whatever happened in between.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import assert from "node:assert/strict";
import { cniHoldings } from "./cni.ts";
import { runCommand } from "./command.ts";
import type { TestDaemon } from "./daemon.ts";
import { mounts, processes } from "./leftovers.ts";
import { patient } from "./patience.ts";

/** Directories whose entries are things: pods, shims, snapshots, layers, blobs. */
const PLACES = [
  "state/pods",
  "state/shims",
  "state/bundles",
  ...["runc", "crun", "annotated"].map((name) => `state/runtimes/${name}`),
  ...["active", "trash", "layers"].map((name) => `root/snapshots/overlayfs/${name}`),
  "root/images/ingest",
  "root/images/blobs/sha256",
];

/** As they are at rest: what is done beside the calls, deleting for one, is waited for. */
export async function holdings(daemon: TestDaemon): Promise<string[]> {
  const end = performance.now() + patient(60_000);
  for (let last = ""; ; await sleep(50)) {
    const found = await reading(daemon);
    // A process without a command line is on its way out.
    const passing = found.some((line) => /^process \d+: $|\/trash\//.test(line));
    if (!passing && found.join("\n") === last) return found;
    last = found.join("\n");
    assert.ok(performance.now() < end, `what the daemon holds does not come to rest:\n${last}`);
  }
}

async function reading(daemon: TestDaemon): Promise<string[]> {
  const found = await Promise.all([
    ...PLACES.map((place) => entries(daemon, place)),
    processes(daemon),
    mounts(daemon),
    cgroups(daemon),
    ports(daemon),
    elements(daemon),
    daemon.network === "cni" ? cniHoldings(daemon) : [],
  ]);
  const records = ["images.db", "containers.db"].flatMap((name) => rows(daemon, name));
  return [...records, ...found.flat()].toSorted();
}

/** Waits for what is done beside the calls (deleting, collecting), then asserts that nothing else is held. */
export async function assertHoldings(daemon: TestDaemon, expected: readonly string[]): Promise<void> {
  const end = performance.now() + patient(20_000);
  let found = await reading(daemon);
  while (performance.now() < end && found.join("\n") !== expected.join("\n")) {
    await sleep(20);
    found = await reading(daemon);
  }
  // Short: only what differs, and of the many control groups of v1 those of one hierarchy.
  const differing = [
    ...found.filter((line) => !expected.includes(line)).map((line) => `+ ${line}`),
    ...expected.filter((line) => !found.includes(line)).map((line) => `- ${line}`),
  ].filter((line) => !line.includes("/sys/fs/cgroup/") || line.includes("/memory/"));
  assert.equal(
    found.join("\n") === expected.join("\n"),
    true,
    `holds something else:\n${differing.join("\n")}`,
  );
}

async function entries(daemon: TestDaemon, place: string): Promise<string[]> {
  return (await readdir(daemon.path(place)).catch(() => [])).map((name) => join(place, name));
}

function rows(daemon: TestDaemon, name: string): string[] {
  const database = new DatabaseSync(daemon.path("root", name), { readOnly: true });
  try {
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    return tables.flatMap(({ name: table }) =>
      database
        .prepare(`SELECT id FROM ${String(table)}`)
        .all()
        .map(({ id }) => `${name} ${String(table)} ${String(id)}`),
    );
  } finally {
    database.close();
  }
}

/** Groups below the daemon's own two, in every hierarchy. */
async function cgroups(daemon: TestDaemon): Promise<string[]> {
  const paths = [`*${daemon.cgroupParent}/*`, `*${daemon.cgroupParent}-shims/*`];
  const args = [
    "/sys/fs/cgroup",
    "-type",
    "d",
    "(",
    "-path",
    paths[0] ?? "",
    "-o",
    "-path",
    paths[1] ?? "",
    ")",
  ];
  return lines((await runCommand("find", args)).stdout).map((line) => `cgroup ${line}`);
}

async function ports(daemon: TestDaemon): Promise<string[]> {
  const { stdout } = await runCommand("ip", ["-o", "link", "show", "master", daemon.bridge]);
  return lines(stdout).map((line) => `port ${line.split(":")[1]?.trim() ?? line}`);
}

/** Elements of the maps of its nftables table. */
async function elements(daemon: TestDaemon): Promise<string[]> {
  const tables = lines((await runCommand("nft", ["list", "tables"])).stdout);
  const own = tables.find((line) => line.includes(daemon.name));
  if (own === undefined) return [];
  const { stdout } = await runCommand("nft", ["list", ...own.split(" ")]);
  return lines(stdout)
    .filter((line) => line.includes("elements"))
    .map((line) => `nftables ${line.trim()}`);
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
