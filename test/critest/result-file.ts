/**
 * The machine-readable result, result.json: which suite ran with which options against which runtime on which host,
 * and what came of each spec in each run.
 */
import { writeFile } from "node:fs/promises";
import { criClient } from "../../src/cri/client.ts";
import type { Judgement } from "./expected.ts";
import type { HostFacts } from "./host-facts.ts";
import type { SpecResult, SuiteReport } from "./report.ts";
import { type Counts, countsOf } from "./table.ts";

export interface CritestResult {
  suite: {
    version: string;
    /** Whether it is the version that test/critest/tools pins. */
    pinned: boolean;
  };
  runtime: { name: string; version: string; apiVersion: string };
  host: HostFacts;
  /** As they were given on the command line. */
  options: Record<string, string | boolean>;
  runs: RunResult[];
  /** Whether every run went as expected and left nothing. */
  succeeded: boolean;
}

export interface RunResult {
  startedAt: string;
  durationMs: number;
  seed: number;
  counts: Counts;
  /** Names of the specs that were not expected to end as they did. */
  unexpected: string[];
  needlessExceptions: string[];
  /** What of the daemon was still on the host after its end. */
  leftovers: string[];
  /** In the order in which they ran; what was not chosen is left out. */
  specs: (Pick<SpecResult, "name" | "group" | "durationMs" | "message"> & { result: Counted })[];
}

type Counted = Exclude<SpecResult["result"], "filtered">;

export function runResult(
  report: SuiteReport,
  judgement: Judgement,
  leftovers: readonly string[],
): RunResult {
  return {
    startedAt: report.startedAt,
    durationMs: report.durationMs,
    seed: report.seed,
    counts: countsOf(report.specs),
    unexpected: judgement.unexpected.map(({ name }) => name),
    needlessExceptions: judgement.needless.map(({ name }) => name),
    leftovers: [...leftovers],
    specs: report.specs.flatMap(({ name, group, result, durationMs, message }) =>
      result === "filtered" ? [] : [{ name, group, result, durationMs: Math.round(durationMs), message }],
    ),
  };
}

export async function runtimeVersion(endpoint: string): Promise<CritestResult["runtime"]> {
  const client = criClient(endpoint);
  try {
    const version = await client.Version({});
    return {
      name: version.runtime_name,
      version: version.runtime_version,
      apiVersion: version.runtime_api_version,
    };
  } finally {
    client.close();
  }
}

export async function writeResult(path: string, result: CritestResult): Promise<void> {
  await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
}
