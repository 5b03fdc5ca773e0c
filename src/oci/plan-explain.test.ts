import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeLaunchResult, explainPlanError, LAUNCH_RESULT_BYTES } from "./plan-explain.ts";
import { PlanWriter, type PlanOperationName, type PlanValues } from "./plan.ts";

const ENOENT = 2;
const EPERM = 1;

function explain<Name extends PlanOperationName>(
  name: Name,
  values: PlanValues<Name>,
  errno: number,
  syscall: string,
  path = "",
): string {
  const plan = new PlanWriter();
  plan.add("launch", { cloneFlags: 0n, flags: 0, cgroupDirectory: "" });
  plan.add(name, values);
  const error = explainPlanError(plan.finish(), { operation: 1, errno, syscall, path });
  return `${error.kind}: ${error.message}`;
}

const EXEC = { name: "x", candidates: [], args: [], env: [] };
const HOOK = {
  path: "/h",
  args: [],
  env: [],
  timeoutMs: 0,
  directory: "",
  statePrefix: "",
  stateSuffix: "",
};
const BIND = {
  set: 0n,
  clear: 0n,
  recursiveSet: 0n,
  recursiveClear: 0n,
  propagation: 0n,
  flags: 0,
  number: 0,
};

describe("an error of a plan in words", () => {
  test("says what could not be executed, in the words that people search for", () => {
    const say = (errno: number, path: string): string => explain("exec", EXEC, errno, "execve", path);
    assert.equal(say(ENOENT, "x"), 'failed-precondition: exec: "x": executable file not found in $PATH');
    assert.equal(say(ENOENT, "/x"), 'failed-precondition: exec: "/x": stat /x: no such file or directory');
    assert.equal(say(13, "/x"), 'failed-precondition: exec: "/x": permission denied');
    assert.equal(say(8, "/x"), 'failed-precondition: exec: "/x": exec format error');
  });

  test("names the operation, the call and the path", () => {
    const mount = {
      attributes: 0n,
      propagation: 0n,
      flags: 0,
      number: 0,
      type: "proc",
      source: "",
      target: "/proc",
      parameters: [],
    };
    assert.equal(
      explain("mount", mount, EPERM, "fsmount", "/proc"),
      "permission-denied: mount proc on /proc: fsmount: EPERM",
    );
    const bind = { ...BIND, source: "/a", target: "/b" };
    assert.equal(
      explain("bind", bind, ENOENT, "open_tree", "/a"),
      "failed-precondition: bind /a on /b: open_tree: ENOENT",
    );
    assert.equal(explain("session", {}, EPERM, "setsid"), "permission-denied: session: setsid: EPERM");
    assert.equal(
      explain("boundingSet", { mask: 0n }, 22, "prctl", "X"),
      "internal: bounding set: prctl X: EINVAL",
    );
  });

  test("names the member of the configuration, and what the kernel lacks", () => {
    const limit = { resource: 7, soft: 1n, hard: 2n };
    assert.equal(
      explain("rlimit", limit, EPERM, "prlimit", "7"),
      "permission-denied: process.rlimits: RLIMIT_NOFILE: a hard limit of 2 is more than the runtime has, " +
        "and it has no CAP_SYS_RESOURCE to raise it (prlimit: EPERM)",
    );
    assert.equal(
      explain("memoryPolicy", { mode: 1, nodes: new Uint8Array() }, 38, "set_mempolicy"),
      "failed-precondition: linux.memoryPolicy: this kernel has no NUMA memory policies (CONFIG_NUMA) " +
        "(set_mempolicy: ENOSYS)",
    );
    assert.equal(
      explain("ioPriority", { priority: 0 }, 5, "ioprio_set"),
      "failed-precondition: process.ioPriority: ioprio_set: EIO",
    );
  });

  test("tells how a hook ended", () => {
    assert.equal(
      explain("hook", HOOK, 10, "hook exit 3", "/h"),
      "failed-precondition: hook /h: exit status 3",
    );
    assert.equal(
      explain("parentHook", HOOK, 10, "hook signal 9", "/h"),
      "failed-precondition: hook /h: killed by signal 9",
    );
    assert.equal(explain("hook", HOOK, 110, "hook timeout", "/h"), "failed-precondition: hook /h: ETIMEDOUT");
    assert.equal(explain("hook", HOOK, ENOENT, "hook execve", "/h"), "failed-precondition: hook /h: ENOENT");
  });

  test("is internal for plans that should not exist", () => {
    const error = { operation: 0, errno: 71, syscall: "plan", path: "" };
    assert.match(explainPlanError(new Uint8Array(3), error).message, /not a plan/);
    assert.equal(
      explain("session", {}, 71, "plan"),
      "internal: plan is of another build than gantry-shim (operation 1)",
    );
  });
});

test("a launcher's result is a pid or an error, and whole", () => {
  const bytes = Buffer.alloc(LAUNCH_RESULT_BYTES);
  bytes.write("GLR1");
  bytes.writeInt32LE(42, 4);
  assert.deepEqual(decodeLaunchResult(bytes), { pid: 42 });
  bytes.writeInt32LE(0, 4);
  bytes.writeInt32LE(-1, 8);
  bytes.writeInt32LE(2, 12);
  bytes.write("clone3", 16);
  bytes.write("/x", 48);
  assert.deepEqual(decodeLaunchResult(bytes), {
    error: { operation: -1, errno: 2, syscall: "clone3", path: "/x" },
  });
  const said = Buffer.concat([bytes, Buffer.from("oh no\n")]);
  assert.deepEqual(decodeLaunchResult(said), {
    error: { operation: -1, errno: 2, syscall: "clone3", path: "/x", said: "oh no\n" },
  });
  assert.throws(() => decodeLaunchResult(bytes.subarray(0, 100)), { kind: "data-loss" });
});
