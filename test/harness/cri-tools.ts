/**
 * crictl and critest, unmodified, from the Go module that test/critest/tools pins, and the command line of the
 * ginkgo that critest is made with, which it needs to run in parallel. They are built once for each version into
 * .cache/bin; the Go toolchain is all that is needed.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const root = join(import.meta.dirname, "../..");
const toolsModule = join(root, "test/critest/tools");

export interface CriTools {
  crictl: string;
  critest: string;
  /** Alone in its directory, so that this can be in a PATH. */
  ginkgo: string;
  /** Of crictl and critest: "v1.36.0". */
  version: string;
}

export async function criTools(): Promise<CriTools> {
  const pins = readFileSync(join(toolsModule, "go.sum"));
  const hash = createHash("sha256").update(pins).digest("hex").slice(0, 12);
  const directory = join(root, ".cache/bin");
  const requirements = readFileSync(join(toolsModule, "go.mod"), "utf8");
  const tools = {
    crictl: join(directory, `crictl-${hash}`),
    critest: join(directory, `critest-${hash}`),
    ginkgo: join(directory, `ginkgo-${hash}/ginkgo`),
    version: /sigs\.k8s\.io\/cri-tools (v\S+)/.exec(requirements)?.[1] ?? "",
  };
  await build(tools.crictl, ["build"], "sigs.k8s.io/cri-tools/cmd/crictl");
  await build(tools.critest, ["test", "-c"], "sigs.k8s.io/cri-tools/cmd/critest");
  await build(tools.ginkgo, ["build"], "github.com/onsi/ginkgo/v2/ginkgo");
  return tools;
}

/** Test files run beside each other: none is to find a program that another one is writing. */
async function build(program: string, command: string[], name: string): Promise<void> {
  if (existsSync(program)) return;
  await mkdir(dirname(program), { recursive: true });
  const half = `${program}.${process.pid}`;
  const env = { ...process.env, CGO_ENABLED: "0" };
  await run("go", [...command, "-o", half, name], { cwd: toolsModule, env });
  await rename(half, program);
}
