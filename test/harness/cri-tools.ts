/**
 * crictl and critest, unmodified, from the Go module that test/critest/tools pins. They are built once for each
 * version into .cache/bin; the Go toolchain is all that is needed.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const root = join(import.meta.dirname, "../..");
const toolsModule = join(root, "test/critest/tools");

export interface CriTools {
  crictl: string;
  critest: string;
}

export async function criTools(): Promise<CriTools> {
  const pins = readFileSync(join(toolsModule, "go.sum"));
  const version = createHash("sha256").update(pins).digest("hex").slice(0, 12);
  const directory = join(root, ".cache/bin");
  const tools = {
    crictl: join(directory, `crictl-${version}`),
    critest: join(directory, `critest-${version}`),
  };
  await mkdir(directory, { recursive: true });
  if (!existsSync(tools.crictl))
    await build(["build", "-o", tools.crictl, "sigs.k8s.io/cri-tools/cmd/crictl"]);
  if (!existsSync(tools.critest))
    await build(["test", "-c", "-o", tools.critest, "sigs.k8s.io/cri-tools/cmd/critest"]);
  return tools;
}

async function build(args: string[]): Promise<void> {
  await run("go", args, { cwd: toolsModule, env: { ...process.env, CGO_ENABLED: "0" } });
}
