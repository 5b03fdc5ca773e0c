/** The overlayfs snapshotter. Needs root. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createOverlayfsSnapshotter } from "./overlayfs.ts";
import { probeOverlayfs } from "./probe-overlayfs.ts";
import { snapshotterSuite } from "./snapshotter-suite.ts";

snapshotterSuite("overlayfs", createOverlayfsSnapshotter);

test("the probe tells why a filesystem cannot hold overlayfs", () => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-probe-"));
  try {
    assert.equal(probeOverlayfs(directory), undefined);
    assert.match(probeOverlayfs("/proc") ?? "", /\/proc/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
