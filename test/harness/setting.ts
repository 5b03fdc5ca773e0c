/**
 * What most tests with a running daemon need: a registry with the busybox image, a gantryd of their own and the
 * real crictl, and at the end the proof that nothing is left.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runAll } from "../../src/base/cleanup.ts";
import { criTools } from "./cri-tools.ts";
import { Crictl } from "./crictl.ts";
import { TestDaemon, type TestDaemonOptions } from "./daemon.ts";
import { pushBusybox } from "./fixture-images.ts";
import { leftoversAtRest } from "./leftovers.ts";
import { type Registry, startRegistry } from "./registry.ts";

export const BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.29-2";

export interface Setting {
  registry: Registry;
  daemon: TestDaemon;
  crictl: Crictl;
  /** Removes every pod and image, stops the daemon, and asserts that nothing of it is left. */
  finish(): Promise<void>;
}

export async function makeSetting(options: TestDaemonOptions = {}): Promise<Setting> {
  if (process.getuid?.() !== 0) throw new Error("this test needs root");
  const tools = await criTools();
  const scratch = await mkdtemp(join(tmpdir(), "gantry-setting-"));
  const registry = await startRegistry(join(scratch, "registry"));
  const daemon = await startDaemon(registry, options).catch(async (error: unknown) => {
    // What still runs would keep the test's process from ending.
    await registry.stop();
    await rm(scratch, { recursive: true, force: true });
    throw error;
  });
  const crictl = new Crictl(tools.crictl, daemon.endpoint, daemon.directory);
  return {
    registry,
    daemon,
    crictl,
    finish: async () => {
      await runAll([
        // Of a test that failed with its daemon dead.
        { name: "start again", step: () => (daemon.ended ? daemon.run() : undefined) },
        { name: "remove pods", step: async () => void (await crictl.try("rmp", "--all", "--force")) },
        { name: "remove images", step: async () => void (await crictl.try("rmi", "--all")) },
        { name: "stop", step: async () => assert.equal(await daemon.stop(), 0, "a clean stop exits with 0") },
        { name: "leftovers", step: () => assertNothingLeft(daemon) },
        { name: "remove daemon", step: () => daemon.remove() },
        { name: "stop registry", step: () => registry.stop() },
        { name: "remove scratch", step: () => rm(scratch, { recursive: true, force: true }) },
      ]);
    },
  };
}

async function startDaemon(registry: Registry, options: TestDaemonOptions): Promise<TestDaemon> {
  await pushBusybox(registry.host);
  const mirrors = { "registry.k8s.io": registry.host, ...options.mirrors };
  return await TestDaemon.start({ ...options, mirrors });
}

export async function assertNothingLeft(daemon: TestDaemon): Promise<void> {
  assert.deepEqual(await leftoversAtRest(daemon), []);
  for (const place of ["pods", "shims", "bundles", "runtimes"])
    assert.deepEqual(await daemon.filesBelow("state", place), []);
}

export function podConfig(name: string, more: object = {}): object {
  return {
    metadata: { name, uid: `${name}-uid`, namespace: "test", attempt: 0 },
    hostname: name,
    labels: { app: name },
    annotations: { "example.com/note": "kept as it is" },
    ...more,
  };
}

export function containerConfig(name: string, command: string[], more: object = {}): object {
  return {
    metadata: { name, attempt: 0 },
    image: { image: BUSYBOX },
    command,
    log_path: `${name}.log`,
    ...more,
  };
}
