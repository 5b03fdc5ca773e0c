/**
 * The specs that are allowed not to pass, and why. Nothing else may fail or skip itself: what is not in this table
 * and does not pass makes a run fail.
 */
import type { HostFacts } from "./host-facts.ts";
import type { SpecResult } from "./report.ts";

export interface Exception {
  /** Matched with the spec's whole name. */
  specs: RegExp;
  /** How many specs of the suite it matches. */
  count: number;
  result: "failed" | "skipped";
  /** Whether it holds on a host; default everywhere. */
  on?: (host: HostFacts) => boolean;
  reason: string;
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    specs: /^\[k8s\.io\] AppArmor /,
    count: 9,
    result: "skipped",
    on: (host) => !host.appArmor,
    reason: "this kernel has no AppArmor",
  },
  {
    specs: /^\[k8s\.io\] Image Manager public image with digest should be pulled and removed/,
    count: 1,
    result: "failed",
    reason: "it names its image by a digest that only the upstream registry has",
  },
];

export interface Judgement {
  /** Did not pass, and no exception covers it. */
  unexpected: SpecResult[];
  /** Passed, though an exception says that it cannot: the table is out of date. */
  needless: SpecResult[];
}

export function judge(
  specs: readonly SpecResult[],
  host: HostFacts,
  exceptions: readonly Exception[] = EXCEPTIONS,
): Judgement {
  const judgement: Judgement = { unexpected: [], needless: [] };
  const holding = exceptions.filter(({ on }) => on?.(host) ?? true);
  for (const spec of specs) {
    const exception = holding.find((candidate) => candidate.specs.test(spec.name));
    if (spec.result === "filtered") continue;
    if (spec.result === "passed") {
      if (exception) judgement.needless.push(spec);
    } else if (exception?.result !== spec.result) judgement.unexpected.push(spec);
  }
  return judgement;
}
