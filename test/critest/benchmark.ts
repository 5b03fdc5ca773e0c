/** The suite's own benchmarks: their parameters, without which they skip themselves, and a table of what they wrote. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { summarize } from "../../bench/percentile.ts";

const IMAGES = "registry.k8s.io/e2e-test-images/";

/** As its documentation (docs/benchmark.md of cri-tools) names them. */
export const BENCHMARK_PARAMETERS = {
  containersNumber: 50,
  containersNumberParallel: 1,
  podsNumber: 50,
  podsNumberParallel: 1,
  imagesNumber: 30,
  imagesNumberParallel: 1,
  imagePullingBenchmarkImage: `${IMAGES}nginx:1.14-2`,
  imageListingBenchmarkImages: [`${IMAGES}busybox:1.29-2`, `${IMAGES}httpd:2.4.39-4`],
  // Generous: it is the values that count, and a slow machine is no failure.
  containerBenchmarkTimeoutSeconds: 120,
  podBenchmarkTimeoutSeconds: 120,
  imageBenchmarkTimeoutSeconds: 120,
  podContainerStartBenchmarkTimeoutSeconds: 120,
};

interface BenchmarkData {
  operationsNames: string[];
  datapoints: { operationsDurationsNs: number[] }[];
}

/** A line for each operation that was measured: file, operation, and p50, p90 and p99 in milliseconds. */
export async function benchmarkTable(directory: string): Promise<string[]> {
  const lines: string[] = [];
  for (const file of (await readdir(directory)).toSorted()) {
    const data = JSON.parse(await readFile(join(directory, file), "utf8")) as BenchmarkData;
    for (const [index, operation] of data.operationsNames.entries()) {
      const values = data.datapoints.map((point) => (point.operationsDurationsNs[index] ?? 0) / 1e6);
      const { p50, p90, p99 } = summarize(values);
      const numbers = [p50, p90, p99].map((value) => value.toFixed(2).padStart(8)).join(" ");
      lines.push(`${numbers} ms  ${file.replace("_benchmark_data.json", "")}: ${operation}`);
    }
  }
  return lines.length === 0 ? [] : ["     p50      p90      p99", ...lines, ""];
}
