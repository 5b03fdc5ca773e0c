/** The search for leftovers finds each kind of thing that a running pod has, and nothing once it is gone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { leftovers } from "./leftovers.ts";
import { makeSetting } from "./setting.ts";
import { Workload } from "./workload.ts";

test("leftovers sees everything of a running pod", { timeout: 120_000 }, async () => {
  const setting = await makeSetting();
  const work = await Workload.begin(setting);
  try {
    await work.run(await work.pod("left"), "left");
    const kinds = new Set((await leftovers(setting.daemon)).map((line) => line.split(" ")[0] ?? ""));
    assert.deepEqual(
      [...kinds].toSorted(),
      ["cgroup", "device", "file", "mount", "nftables", "process", "socket"].toSorted(),
    );
  } finally {
    work.end();
    await setting.finish();
  }
});
