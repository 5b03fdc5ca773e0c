/** The measured values as a Markdown table: a row for each piece of work, columns for each runtime, and the ratio. */
import { summarize } from "./percentile.ts";
import type { Measures } from "./work.ts";

/** "ms" unless the name says otherwise. */
export function unitOf(name: string): string {
  if (name.startsWith("8 at once")) return "pods/s";
  return name.startsWith("memory") ? "KiB" : "ms";
}

/** @param runtimes in the order of their columns; the ratio is first to second, of medians. */
export function markdownTable(runtimes: readonly { name: string; measures: Measures }[]): string {
  const names = [...new Set(runtimes.flatMap(({ measures }) => Object.keys(measures)))];
  const [first, second] = runtimes;
  const head = ["work", "unit", ...runtimes.map(({ name }) => `${name} p50 / p90 / p99`)];
  if (second) head.push("ratio of p50");
  const rows = names.map((name) => {
    const cells = runtimes.map(({ measures }) => {
      const values = measures[name];
      if (!values) return "–";
      const { p50, p90, p99, count } = summarize(values);
      return count === 1 ? format(p50) : [p50, p90, p99].map(format).join(" / ");
    });
    const row = [name, unitOf(name), ...cells];
    if (second) row.push(ratio(first?.measures[name], second.measures[name]));
    return row;
  });
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function ratio(a: readonly number[] | undefined, b: readonly number[] | undefined): string {
  return a && b ? (summarize(a).p50 / summarize(b).p50).toFixed(3) : "–";
}

function format(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
