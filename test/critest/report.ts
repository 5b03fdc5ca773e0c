/** Reads the JSON report that the suite's runner (ginkgo) writes, of one process or of several. */
import { readFile } from "node:fs/promises";

export interface SpecResult {
  /** As the suite has it, its containers' texts and its own: what --focus and --skip are matched with. */
  name: string;
  /** The outermost container, "Image Manager". */
  group: string;
  /** What is below the group, for reading. */
  title: string;
  /** "filtered" was not chosen by the focus; "skipped" was, and skipped itself. */
  result: "passed" | "failed" | "skipped" | "filtered";
  durationMs: number;
  /** Why it failed or skipped itself; empty for the others. */
  message: string;
}

export interface SuiteReport {
  /** In the order in which they ran. */
  specs: SpecResult[];
  /** Gives the same order again: -ginkgo.seed. */
  seed: number;
  startedAt: string;
  durationMs: number;
}

interface GinkgoSpec {
  LeafNodeType: string;
  LeafNodeText: string;
  ContainerHierarchyTexts: string[] | null;
  State: string;
  RunTime: number;
  Failure?: { Message?: string };
}

interface GinkgoSuite {
  StartTime: string;
  RunTime: number;
  SuiteConfig: { RandomSeed: number };
  SpecReports: GinkgoSpec[] | null;
}

/** @throws when the suite did not get as far as a report. */
export async function readReport(path: string): Promise<SuiteReport> {
  const suites = JSON.parse(await readFile(path, "utf8")) as GinkgoSuite[];
  const [first] = suites;
  if (!first) throw new Error(`${path} reports no suite`);
  return {
    specs: suites.flatMap((suite) => (suite.SpecReports ?? []).filter(counts).map(specResult)),
    seed: first.SuiteConfig.RandomSeed,
    startedAt: first.StartTime,
    durationMs: Math.round(suites.reduce((sum, suite) => sum + suite.RunTime, 0) / 1e6),
  };
}

/** Specs, and what prepares or ends them if it failed. */
function counts(spec: GinkgoSpec): boolean {
  return spec.LeafNodeType === "It" || resultOf(spec) === "failed";
}

function specResult(spec: GinkgoSpec): SpecResult {
  const containers = spec.ContainerHierarchyTexts ?? [];
  const leaf = spec.LeafNodeText === "" ? `(${spec.LeafNodeType})` : spec.LeafNodeText;
  return {
    name: [...containers, leaf].join(" "),
    group: (containers[0] ?? "suite").replace(/^\[k8s\.io\] /, ""),
    title: [...containers.slice(1), leaf].join(" ").replace(/ \[Conformance\]$/, ""),
    result: resultOf(spec),
    durationMs: spec.RunTime / 1e6,
    message: spec.Failure?.Message ?? "",
  };
}

function resultOf(spec: GinkgoSpec): SpecResult["result"] {
  if (spec.State === "passed") return "passed";
  // Interrupted, aborted, panicked and timed out are failures, too.
  if (spec.State !== "skipped" && spec.State !== "pending") return "failed";
  return spec.Failure?.Message ? "skipped" : "filtered";
}
