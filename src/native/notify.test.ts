import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { constants } from "node:fs";
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

test("endProcess leaves the standard streams blocking, as others have them too", () => {
  const program = `
    import { endProcess } from ${JSON.stringify(join(import.meta.dirname, "notify.ts"))};
    process.stdout.write("written\\n", () => endProcess(0));`;
  const script = `"$0" --input-type=module -e "$1" && grep flags /proc/self/fdinfo/1`;
  const { stdout } = spawnSync("sh", ["-c", script, process.execPath, program], { encoding: "utf8" });
  const [, flags = ""] = /^written\nflags:\s*(\d+)/.exec(stdout) ?? [];
  assert.equal(Number.parseInt(flags, 8) & constants.O_NONBLOCK, 0, stdout);
});
