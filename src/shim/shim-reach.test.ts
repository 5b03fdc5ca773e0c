/** Looking for shims that hang up, as one does that is being killed. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "../base/logger.ts";
import { createShimManager } from "./shim-manager.ts";

test("a shim that takes connections and hangs up until it is gone is found to be gone", async (t) => {
  const stateDirectory = mkdtempSync(join(tmpdir(), "gantry-reach-"));
  t.after(() => rmSync(stateDirectory, { recursive: true, force: true }));
  mkdirSync(join(stateDirectory, "shims/a"), { recursive: true });
  let connections = 0;
  const server = createServer((socket) => {
    socket.destroy();
    // Its end takes the socket's file away.
    if (++connections === 3) server.close();
  });
  await new Promise<void>((resolve) => server.listen(join(stateDirectory, "shims/a/sock"), resolve));
  const manager = createShimManager({ stateDirectory, program: "/no/such", log: silentLogger });
  assert.equal(await manager.connect("a"), undefined);
  assert.equal(connections, 3);
});
