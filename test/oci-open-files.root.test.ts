/**
 * How many files a process of gantry-oci may open: what its configuration says, else what the caller of gantry-oci could
 * when it was started, and not what Node has raised that to. Needs root.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { OciBundle } from "./harness/oci-bundle.ts";

const oci = new OciBundle();
process.env["NODE_COMPILE_CACHE"] = join(oci.base, "compiled");
const PROGRAM = join(import.meta.dirname, "../bin/gantry-oci");
const SHOW = ["sh", "-c", "ulimit -Sn; ulimit -Hn"];
after(() => oci.end());

/** With soft and hard limits as a caller has them. Output goes to a file, which a detached container may keep. */
function limited(soft: number, hard: number, ...args: string[]): string {
  const out = join(oci.base, "out");
  writeFileSync(out, "");
  const script = `ulimit -Sn ${soft}; ulimit -Hn ${hard}; exec "$@" >>"$0" 2>&1 <&-`;
  const command = [PROGRAM, "--root", join(oci.base, "root"), ...args];
  const { status } = spawnSync("sh", ["-c", script, out, ...command], { stdio: "ignore" });
  const text = readFileSync(out, "utf8");
  assert.equal(status, 0, text);
  return text;
}

test("the caller's, in a container, an executed process and hooks of both sides", () => {
  const note = join(oci.base, "note");
  const hook = { path: "/bin/sh", args: ["sh", "-c", `echo $(ulimit -Sn) >> ${note}`] };
  const hooks = { createRuntime: [hook], poststart: [hook] };
  oci.configure(SHOW, { rlimits: [] }, {}, { hooks });
  assert.equal(limited(700, 900, "run", "-b", oci.bundle, "own"), "700\n900\n");
  assert.equal(readFileSync(note, "utf8"), "700\n700\n");
  // Too little to run with is no reason not to run.
  oci.configure(SHOW, { rlimits: [] });
  assert.equal(limited(20, 900, "run", "-b", oci.bundle, "few"), "64\n900\n");

  oci.configure(["sleep", "300"], { rlimits: [] });
  limited(600, 900, "run", "-d", "-b", oci.bundle, "long");
  const { pid } = JSON.parse(oci.oci(["state", "long"]).out) as { pid: number };
  assert.match(readFileSync(`/proc/${pid}/limits`, "utf8"), /^Max open files +600 +900 /m);
  assert.equal(limited(500, 800, "exec", "long", ...SHOW), "500\n800\n");
  assert.equal(oci.oci(["delete", "--force", "long"]).code, 0);
});

test("the configuration's, where it has one; and nothing of how it came there", () => {
  const rlimits = [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }];
  oci.configure(["sh", "-c", "ulimit -Sn; ulimit -Hn; grep -c GANTRY /proc/self/environ || true"], {
    rlimits,
  });
  assert.equal(limited(700, 900, "run", "-b", oci.bundle, "given"), "100\n200\n0\n");
});
