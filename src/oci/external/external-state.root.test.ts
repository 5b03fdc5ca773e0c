/** What a runtime left mounted is not deleted through. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ExternalRuntime } from "./external-runtime.ts";
import { removeUnmounted } from "./external-state.ts";

test("the state of a container that its runtime failed to delete is kept while something is mounted in it", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-external-state-"));
  const [volume, root, binary] = ["volume", "root of it", "runtime"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  const target = join(root, "id/rootfs");
  for (const path of [volume, target]) mkdirSync(path, { recursive: true });
  writeFileSync(join(volume, "data"), "kept");
  writeFileSync(binary, "#!/bin/sh\nexit 1\n");
  chmodSync(binary, 0o755);
  execFileSync("mount", ["--bind", volume, target]);
  let mounted = true;
  const unmount = (): void => {
    if (mounted) execFileSync("umount", [target]);
    mounted = false;
  };
  t.after(() => {
    unmount();
    rmSync(directory, { recursive: true });
  });
  const runtime = new ExternalRuntime({
    name: "failing",
    binary,
    arguments: [],
    environment: [],
    root,
    systemdCgroup: false,
    timeoutMs: 30_000,
    update: false,
    kill: false,
  });
  await assert.rejects(runtime.delete("id"), { kind: "failed-precondition" });
  assert.ok(existsSync(join(volume, "data")));
  await assert.rejects(removeUnmounted(join(root, "id")), { message: /rootfs is still mounted/ });
  unmount();
  await assert.rejects(runtime.delete("id"), { message: "runtime delete: exit code 1" });
  assert.ok(!existsSync(join(root, "id")));
  await removeUnmounted(join(root, "id"));
});
