/** What a run prints: its specs by group and name, what was not expected, and the counts as the last line. */
import type { Judgement } from "./expected.ts";
import type { SpecResult } from "./report.ts";

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

export function countsOf(specs: readonly SpecResult[]): Counts {
  const count = (result: SpecResult["result"]): number =>
    specs.filter((spec) => spec.result === result).length;
  return { passed: count("passed"), failed: count("failed"), skipped: count("skipped") };
}

export function countsLine(specs: readonly SpecResult[]): string {
  const { passed, failed, skipped } = countsOf(specs);
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** The specs that ran, sorted by group and title, each with its result, its time, and why it did not pass. */
export function specTable(specs: readonly SpecResult[]): string[] {
  const lines: string[] = [];
  const byName = specs
    .filter(({ result }) => result !== "filtered")
    .toSorted((a, b) => compare(a.group, b.group) || compare(a.title, b.title));
  let group: string | undefined;
  for (const spec of byName) {
    if (spec.group !== group) lines.push("", (group = spec.group));
    lines.push(`  ${spec.result.padEnd(7)} ${seconds(spec.durationMs)}  ${spec.title}`);
    const [reason = ""] = spec.message.split("\n");
    if (reason !== "") lines.push(`${" ".repeat(20)}${reason}`);
  }
  return [...lines, ""];
}

export function judgementLines({ unexpected, needless }: Judgement): string[] {
  return [
    ...unexpected.map(({ result, name }) => `unexpectedly ${result}: ${name}`),
    ...needless.map(({ name }) => `passed, though test/critest/expected.ts says that it cannot: ${name}`),
  ];
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(2).padStart(6)} s`;
}
