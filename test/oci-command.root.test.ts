/**
 * Of gantry-oci's commands what needs more than one call: events while they happen, a group below the container's,
 * sockets that a service manager hands over, processes without a PID namespace of their own. Needs root.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EXECUTOR_PROGRAM } from "./harness/executor-program.ts";
import { OciBundle } from "./harness/oci-bundle.ts";

const oci = new OciBundle();
process.env["NODE_COMPILE_CACHE"] = join(oci.base, "compiled");
after(() => oci.end());

interface State {
  pid: number;
  status: string;
}
const state = (id: string): State => JSON.parse(oci.oci(["state", id]).out) as State;

/** Starts a container detached; its group's path. */
function start(id: string, args: string[], ...members: [object?, object?, object?]): string {
  const cgroup = oci.nextCgroup();
  oci.configure(args, ...members);
  assert.equal(oci.detached(["run", "-d", "-b", oci.bundle, id]), 0, oci.log());
  return cgroup;
}

test("events: counters again and again, a line for an OOM kill, and an end with the container", async () => {
  const limits = { resources: { memory: { limit: 16 << 20, swap: 16 << 20 } } };
  const waits = "until [ -e /tmp/go ]; do sleep 0.05; done; busybox tail /dev/zero; exec sleep 300";
  start("oom", ["sh", "-c", waits], {}, limits, {
    root: { path: "rootfs", readonly: false },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs" },
      { destination: "/tmp", type: "tmpfs", source: "tmpfs" },
    ],
  });
  const events = spawn(
    process.execPath,
    [EXECUTOR_PROGRAM, "--root", join(oci.base, "root"), "events", "--interval", "50ms", "oom"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const exited = once(events, "exit");
  const seen = new Set<string>();
  for await (const line of createInterface({ input: events.stdout })) {
    const event = JSON.parse(line) as { type: string; id: string; data?: { memory: object } };
    assert.equal(event.id, "oom");
    assert.equal(event.data !== undefined, event.type === "stats");
    if (seen.size === 0) assert.equal(oci.oci(["exec", "oom", "sh", "-c", "> /tmp/go"]).code, 0);
    if (event.type === "oom" && !seen.has("oom")) assert.equal(oci.oci(["kill", "oom", "KILL"]).code, 0);
    seen.add(event.type);
  }
  assert.deepEqual(await exited, [0, null]);
  assert.deepEqual([...seen].toSorted(), ["oom", "stats"]);
  assert.equal(oci.oci(["delete", "oom"]).code, 0);
});

test("exec --cgroup: a group below the container's, and no other", () => {
  const cgroup = start("below", ["sleep", "300"]);
  const directory = `/sys/fs/cgroup/pids${cgroup}/below`;
  mkdirSync(directory);
  const lines = (...args: string[]): Record<string, string> =>
    Object.fromEntries(
      oci
        .oci(["exec", ...args, "below", "sh", "-c", "cat /proc/self/cgroup"])
        .out.split("\n")
        .map((line) => line.split(":").slice(1)),
    ) as Record<string, string>;
  const plain = lines();
  const chosen = lines("--cgroup", "pids:below");
  assert.equal(chosen["pids"], `${plain["pids"]?.replace(/\/$/, "")}/below`);
  assert.deepEqual({ ...chosen, pids: "" }, { ...plain, pids: "" });
  for (const [wanted, message] of [
    ["pids:none", /none does not exist/],
    ["below", /does not exist/],
    ["pids:../..", /leaves the container's group/],
    ["nothing:below", /no hierarchy with this controller/],
  ] as const) {
    const outcome = oci.oci(["exec", "--cgroup", wanted, "below", "true"]);
    assert.equal(outcome.code, 255, wanted);
    assert.match(outcome.err, message);
  }
  rmdirSync(directory);
  assert.equal(oci.oci(["delete", "-f", "below"]).code, 0);
});

test("sockets of a service manager come first, then what --preserve-fds names", () => {
  const [first, second] = ["first", "second"].map((name) => join(oci.base, name)) as [string, string];
  writeFileSync(first, "one");
  writeFileSync(second, "two");
  oci.configure(["sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4"], {}, {}, {});
  const script = `exec 3<"$1" 4<"$2"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$3" "$4" --root "$5" run --preserve-fds 1 -b "$6" fds`;
  const args = [first, second, process.execPath, EXECUTOR_PROGRAM, join(oci.base, "root"), oci.bundle];
  const { stdout, stderr } = spawnSync("sh", ["-c", script, "sh", ...args], { encoding: "utf8", input: "" });
  assert.equal(stdout, "1 1\nonetwo", stderr);
  // Those that are another process's are not.
  oci.configure(["sh", "-c", "echo [$LISTEN_FDS]"]);
  const other = { ...process.env, LISTEN_PID: "1", LISTEN_FDS: "1" };
  const run = [EXECUTOR_PROGRAM, "--root", join(oci.base, "root"), "run", "-b", oci.bundle, "fds"];
  assert.equal(spawnSync(process.execPath, run, { encoding: "utf8", env: other, input: "" }).stdout, "[]\n");
});

test("kill: all processes by --all, and by SIGKILL where the PID namespace is the host's", async () => {
  const script = "sleep 300 & sleep 300 & wait";
  const namespaces = [{ type: "mount" }, { type: "uts" }, { type: "ipc" }];
  const left = (id: string): number[] => JSON.parse(oci.oci(["ps", "--format", "json", id]).out) as number[];
  start("kill", ["sh", "-c", script], {}, { namespaces });
  while (left("kill").length < 3) await sleep(20);
  assert.equal(oci.oci(["kill", "--all", "kill", "STOP"]).code, 0);
  for (const pid of left("kill"))
    while (!/^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) await sleep(10);
  assert.equal(oci.oci(["kill", "kill", "KILL"]).code, 0);
  while (left("kill").length > 0) await sleep(20);
  assert.equal(state("kill").status, "stopped");
  assert.equal(oci.oci(["kill", "--all", "kill", "KILL"]).code, 0);
  assert.equal(oci.oci(["delete", "kill"]).code, 0);
});

test("a container whose state cannot be read hides no other", () => {
  start("good", ["sleep", "300"]);
  mkdirSync(join(oci.base, "root/broken"));
  writeFileSync(join(oci.base, "root/broken/state.json"), "{");
  const { code, out, err } = oci.oci(["list", "--quiet"]);
  assert.deepEqual([code, out], [0, "good\n"]);
  assert.match(err, /level=warning .*state\.json is damaged/);
  // Its processes and its group could not be found: who deletes it must look.
  assert.match(oci.oci(["delete", "--force", "broken"]).err, /broken\/state\.json is damaged/);
  rmSync(join(oci.base, "root/broken"), { recursive: true });
  assert.equal(oci.oci(["delete", "--force", "good"]).code, 0);
  assert.deepEqual(oci.containers(), []);
});
