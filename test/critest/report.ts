/** Reads the JSON report that the suite's runner (ginkgo) writes. */
import { readFile } from "node:fs/promises";

export interface SpecResult {
  name: string;
  /** "filtered" was not chosen by the focus; "skipped" was, and skipped itself. */
  result: "passed" | "failed" | "skipped" | "filtered";
  message: string;
}

interface GinkgoSpec {
  LeafNodeType: string;
  LeafNodeText: string;
  ContainerHierarchyTexts: string[] | null;
  State: string;
  Failure?: { Message?: string };
}

/** The specs of every suite in the report, in their order. @throws when the suite did not get as far as a report. */
export async function readReport(path: string): Promise<SpecResult[]> {
  const suites = JSON.parse(await readFile(path, "utf8")) as { SpecReports: GinkgoSpec[] | null }[];
  return suites.flatMap((suite) =>
    (suite.SpecReports ?? [])
      .filter((spec) => spec.LeafNodeType === "It" || spec.State === "failed")
      .map((spec) => ({
        name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(" "),
        result: resultOf(spec),
        message: spec.Failure?.Message ?? "",
      })),
  );
}

function resultOf(spec: GinkgoSpec): SpecResult["result"] {
  if (spec.State === "passed") return "passed";
  if (spec.State !== "skipped" && spec.State !== "pending") return "failed";
  return spec.Failure?.Message ? "skipped" : "filtered";
}
