import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

test("endProcess ends at once with the status, whatever is still to be done", () => {
  const program = `
    import { endProcess } from ${JSON.stringify(join(import.meta.dirname, "notify.ts"))};
    process.on("exit", () => { for (;;); });
    setInterval(() => undefined, 1000);
    endProcess(7);`;
  const { status, signal } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    timeout: 30_000,
  });
  assert.deepEqual({ status, signal }, { status: 7, signal: null });
});
