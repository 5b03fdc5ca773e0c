/**
 * Reads the counters of many groups in one job. The layout says which files of which hierarchies a reading is made of, so
 * that each file is read once.
 */
import type { CgroupFiles } from "./cgroup-files.ts";
import { pidsOf } from "./cgroup-stat-text.ts";
import type { Readings } from "./cgroup.ts";

/** The texts of one group by file name; undefined for a file that is not there. */
export type StatTexts = (name: string) => string | undefined;

export interface StatLayout<Reading> {
  /** Files by the root of their hierarchy. "cgroup.procs" is among them: without it there is no group. */
  files: readonly { root: string; names: readonly string[] }[];
  parse(text: StatTexts, timestampNs: bigint): Reading;
}

/** @param paths checked by checkCgroupPath. */
export async function readGroups<Reading>(
  files: CgroupFiles,
  layout: StatLayout<Reading>,
  paths: readonly string[],
): Promise<Readings<Reading>> {
  const positions = new Map<string, number>();
  for (const { names } of layout.files) for (const name of names) positions.set(name, positions.size);
  // The middle of the reading, as near as can be told.
  const before = Date.now();
  const texts = await files.readMany(layout.files, paths);
  const timestampNs = (BigInt(before) + BigInt(Date.now())) * 500_000n;
  const textsOf =
    (index: number): StatTexts =>
    (name) => {
      const position = positions.get(name);
      return position === undefined ? undefined : texts(index * positions.size + position);
    };
  return {
    at: (index) => {
      const text = textsOf(index);
      return text("cgroup.procs") === undefined ? undefined : layout.parse(text, timestampNs);
    },
    processIds: (index) => pidsOf(textsOf(index)("cgroup.procs") ?? ""),
  };
}
