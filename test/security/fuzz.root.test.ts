/**
 * The two readers of the native half, of plans and of frames, against bytes that nobody of ours wrote. Both formats come
 * from the daemon only; but what reads them has the power of the host. With the sanitizers, and always the same bytes:
 * GANTRY_FUZZ_SEED and GANTRY_FUZZ_ROUNDS choose others.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { compileExecPlan, compilePlan, type PlanRootfs } from "../../src/oci/plan-compile.ts";
import { TestContainer } from "../../src/oci/plan-test-container.ts";
import type { Spec } from "../../src/oci/runtime-spec.ts";
import { runCommand } from "../harness/command.ts";
import { patient } from "../harness/patience.ts";

const project = join(import.meta.dirname, "../..");
const SEED = process.env["GANTRY_FUZZ_SEED"] ?? "1";
const ROUNDS = process.env["GANTRY_FUZZ_ROUNDS"] ?? "20000";

let directory: string;
let container: TestContainer;
before(() => {
  directory = mkdtempSync(join(tmpdir(), "gantry-fuzz-"));
  container = new TestContainer();
});
after(() => {
  container.dispose();
  rmSync(directory, { recursive: true });
});

/** Plans that have between them every kind of field that there is. */
function plans(): Uint8Array[] {
  const hook = { path: "/bin/true", args: ["true", "x"], env: ["A=b"], timeout: 3 };
  const full: Spec = container.spec(
    "true",
    {
      terminal: true,
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 50, hard: 50 }],
      oomScoreAdj: 10,
      selinuxLabel: "a:b:c:s0",
      user: { uid: 5, gid: 6, additionalGids: [7, 8, 9] },
      cwd: "/tmp/here",
    },
    { sysctl: { "net.ipv4.ip_forward": "1" } },
  );
  full.hooks = { prestart: [hook], createContainer: [hook], startContainer: [hook] };
  full.mounts?.push(
    { destination: "/b", type: "bind", source: "/tmp", options: ["rbind", "ro"] },
    { destination: "/i", type: "image", source: "image", options: ["ro", "subpath=a/b"] },
    { destination: "/t", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup", "size=1m"] },
  );
  const images = new Map<string, PlanRootfs>([
    ["image", { type: "overlay", lower: ["/l1", "/l2"], options: ["ro"] }],
  ]);
  const map = [{ containerID: 0, hostID: 300_000, size: 65_536 }];
  const user = container.spec(
    "true",
    {},
    {
      namespaces: [{ type: "user" }, { type: "mount" }, { type: "time" }],
      uidMappings: map,
      gidMappings: map,
      timeOffsets: { monotonic: { secs: 5 } },
    },
  );
  const { process: own } = full;
  assert.ok(own);
  const cgroup = { tasksFiles: ["/sys/fs/cgroup/pids/x/tasks", "/sys/fs/cgroup/cpu/x/tasks"] };
  return [
    compilePlan(
      full,
      container.options({ images, cgroup, keyring: "k", gate: { fifo: "/x" }, directories: ["/v"] }),
    ),
    compilePlan(user, container.options({ idMapRootfs: true, gate: "wait", oldKernel: true })),
    compileExecPlan(own, {
      namespaces: ["pid", "mount"],
      cgroup,
      seccomp: { program: new Uint8Array(80), flags: 0 },
    }),
  ];
}

test("broken plans and frames are refused without a fault", async () => {
  const program = join(directory, "fuzz");
  execFileSync("cc", [
    ...["-std=gnu17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    `-I${join(project, "native/include")}`,
    ...["-o", program, join(import.meta.dirname, "programs/fuzz.c"), join(project, "native/shim/frame.c")],
    ...globSync(join(project, "native/executor/*.c")),
  ]);
  const files = plans().map((plan, index) => {
    const path = join(directory, `plan${index}`);
    writeFileSync(path, plan);
    return path;
  });
  const { code, stdout, stderr } = await runCommand(program, [SEED, ROUNDS, ...files], {
    env: { ...process.env, ASAN_OPTIONS: "detect_leaks=0" },
    timeoutMs: patient(270_000),
  });
  assert.equal(code, 0, `${stdout}${stderr}`);
  const [operations = 0, fields = 0] = (stdout.match(/\d+/g) ?? []).map(Number);
  assert.ok(operations > Number(ROUNDS) && fields > Number(ROUNDS) / 10, `reached: "${stdout}"`);
});
