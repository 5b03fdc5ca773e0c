/** Every byte that a container writes is in its log: whatever the bytes, the amount, the disk and the end. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { status as code } from "@grpc/grpc-js";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, statSync } from "node:fs";
import { readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type CriLogLine, joined, readCriLog } from "./harness/cri-log.ts";
import { patient } from "./harness/patience.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { type TestPod, Workload } from "./harness/workload.ts";

const PARTIAL_BYTES = 16 * 1024;

let setting: Setting;
let work: Workload;
let pod: TestPod;

before(async () => {
  setting = await makeSetting({ network: "none" });
  work = await Workload.begin(setting);
  pod = await work.pod("log");
});
after(async () => {
  work?.end();
  await setting?.finish();
});

const logOf = (name: string): string => join(work.logDirectory, `${name}.log`);

/** Runs a script to its end and reads its log. */
async function logged(name: string, script: string, exitCode = 0, more: object = {}): Promise<CriLogLine[]> {
  const id = await work.run(pod, name, ["sh", "-c", script], more);
  assert.equal((await work.exited(id)).exitCode, exitCode);
  return readCriLog(logOf(name));
}

const shape = (lines: readonly CriLogLine[]): string[] =>
  lines.map(({ stream, tag, content }) => `${stream} ${tag} ${content.length}`);

test("long lines are parted at 16 KiB, and only where they have to be", async () => {
  const line = (bytes: number): string => `head -c ${bytes} /dev/zero | tr '\\0' x; echo`;
  const sizes = [0, 1, PARTIAL_BYTES - 1, PARTIAL_BYTES, PARTIAL_BYTES + 1, 40_000];
  const lines = await logged("long", sizes.map(line).join("; "));
  assert.deepEqual(shape(lines), [
    "stdout F 0",
    "stdout F 1",
    `stdout F ${PARTIAL_BYTES - 1}`,
    `stdout F ${PARTIAL_BYTES}`,
    `stdout P ${PARTIAL_BYTES}`,
    "stdout F 1",
    `stdout P ${PARTIAL_BYTES}`,
    `stdout P ${PARTIAL_BYTES}`,
    `stdout F ${40_000 - 2 * PARTIAL_BYTES}`,
  ]);
});

test("bytes are kept as they are, and an unfinished line at the end is not lost", async () => {
  const bytes = [...Array(256).keys()].filter((byte) => byte !== 10);
  const octal = bytes.map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  const lines = await logged(
    "binary",
    `printf '${octal.replaceAll("'", "'\\''")}'; printf last >&2; exit 3`,
    3,
  );
  assert.deepEqual([...joined(lines, "stdout")], bytes);
  assert.equal(joined(lines, "stderr").toString(), "last");
  assert.deepEqual(new Set(lines.map(({ tag }) => tag)), new Set(["P"]));
});

test("lines of both streams stand in the order in which they were written", async () => {
  // Of two pipes nobody can tell which was written to first: the next line comes when the one before is in the log.
  const script = `written() { until grep -q "$1\\$" /logs/order.log; do usleep 1000; done; }
    for i in $(seq 15); do echo out $i; written "out $i"; echo err $i >&2; written "err $i"; done`;
  const expected = Array.from({ length: 15 }, (_, i) => [
    `stdout out ${i + 1}`,
    `stderr err ${i + 1}`,
  ]).flat();
  const mounts = [{ host_path: work.logDirectory, container_path: "/logs", readonly: true }];
  const lines = await logged("order", script, 0, { mounts });
  assert.deepEqual(
    lines.map(({ stream, content }) => `${stream} ${content.toString()}`),
    expected,
  );
});

test("after a rotation the old file has all before, the new one all after", async () => {
  const id = await work.run(pod, "rotated", [
    "sh",
    "-c",
    "i=0; until [ -e /end ]; do echo $((i++)); usleep 1000; done",
  ]);
  const path = logOf("rotated");
  for (let n = 1; n <= 3; n++) {
    await rename(path, `${path}.${n}`);
    await work.client.ReopenContainerLog({ container_id: id });
    assert.ok(existsSync(path), "made by the call");
    while (statSync(path).size === 0) await sleep(5);
  }
  await work.read(id, "touch /end");
  assert.equal((await work.exited(id)).exitCode, 0);
  const files = await Promise.all([`${path}.1`, `${path}.2`, `${path}.3`, path].map(readCriLog));
  const lines = files.flat().map(({ content }) => content.toString());
  assert.deepEqual(
    lines,
    lines.map((_, i) => String(i)),
  );
});

test("a rotation that fails makes no file, and what is written goes on into the old one", async () => {
  const id = await work.run(pod, "stuck", [
    "sh",
    "-c",
    "while [ ! -e /end ]; do usleep 5000; done; echo after",
  ]);
  const path = logOf("stuck");
  await rename(path, `${path}.1`);
  mkdirSync(path);
  await assert.rejects(work.client.ReopenContainerLog({ container_id: id }), /stuck\.log/);
  assert.deepEqual(await readdir(path), []);
  await work.exec(id, "touch /end");
  await work.exited(id);
  assert.equal(joined(await readCriLog(`${path}.1`), "stdout").toString(), "after\n");
  await rm(path, { recursive: true });
  await assert.rejects(work.client.ReopenContainerLog({ container_id: id }), {
    code: code.FAILED_PRECONDITION,
  });
  assert.ok(!existsSync(path), "no file for a container that has exited");
});

test("220 MB in 2 million lines are whole", async () => {
  // 110 bytes a line with its line feed.
  const program = `awk 'BEGIN { for (i = 0; i < 2000000; i++) printf "%0109d\\n", i }'`;
  const started = performance.now();
  const id = await work.run(pod, "much", ["sh", "-c", program]);
  assert.equal((await work.exited(id, patient(240_000))).exitCode, 0);
  console.log(`220 MB in ${Math.round(performance.now() - started)} ms, polled by 20 ms`);
  const [expected, found] = [createHash("sha256"), createHash("sha256")];
  let count = 0;
  for await (const line of createInterface({ input: createReadStream(logOf("much")) })) {
    expected.update(String(count++).padStart(109, "0"));
    found.update(line.slice(40));
  }
  assert.equal(count, 2_000_000);
  assert.equal(found.digest("hex"), expected.digest("hex"));
  await rm(logOf("much"));
});

/** A pod whose logs are on a small disk of their own, almost all of it taken. */
async function fullDisk(
  t: TestContext,
  name: string,
): Promise<{ pod: TestPod; directory: string; free: () => Promise<void> }> {
  const directory = setting.daemon.path(`disk-${name}`);
  mkdirSync(directory);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory]);
  t.after(() => execFileSync("umount", ["-l", directory]));
  await writeFile(join(directory, "filler"), Buffer.alloc(1000 * 1024));
  const own = await work.pod(name, { log_directory: directory });
  return { pod: own, directory, free: () => rm(join(directory, "filler")) };
}

const SOME = `awk 'BEGIN { for (i = 0; i < 4000; i++) printf "%099d\\n", i }'`;

async function assertSome(path: string): Promise<void> {
  const text = joined(await readCriLog(path), "stdout").toString();
  const expected = Array.from({ length: 4000 }, (_, i) => `${String(i).padStart(99, "0")}\n`).join("");
  assert.equal(text.length, expected.length);
  assert.ok(text === expected, "the same bytes");
}

/** Waits until the file has grown no more for a while. */
async function stalled(path: string): Promise<void> {
  for (let size = -1; ; await sleep(300)) {
    const now = (await stat(path)).size;
    if (now === size) return;
    size = now;
  }
}

test("a full disk holds the container up, and once there is room nothing is missing", async (t) => {
  const disk = await fullDisk(t, "full");
  const id = await work.run(disk.pod, "writer", ["sh", "-c", `${SOME}; exit 6`]);
  const path = join(disk.directory, "writer.log");
  await stalled(path);
  assert.equal((await work.status(id)).state, "CONTAINER_RUNNING");
  assert.equal((await work.exec(id, "echo answers")).stdout, "answers\n");
  await disk.free();
  assert.equal((await work.exited(id)).exitCode, 6);
  await assertSome(path);
  await work.remove(disk.pod);
});

test("the end of a container on a full disk is told, and its last lines are written when there is room", async (t) => {
  const disk = await fullDisk(t, "late");
  // Fits in the pipe and the shim, so that the container is not held up.
  const last = `awk 'BEGIN { for (i = 0; i < 500; i++) printf "%099d\\n", i }'`;
  const id = await work.run(disk.pod, "writer", ["sh", "-c", `${last}; exit 6`]);
  const path = join(disk.directory, "writer.log");
  assert.equal((await work.exited(id)).exitCode, 6);
  assert.ok(statSync(path).size < 50_000, "not all of it fits");
  // Also when the daemon has forgotten that it waits.
  await setting.daemon.kill();
  await setting.daemon.run();
  assert.equal((await work.exited(id)).exitCode, 6);
  await disk.free();
  for (let attempt = 0; attempt < 600 && statSync(path).size < 500 * 140; attempt++) await sleep(50);
  assert.equal(joined(await readCriLog(path), "stdout").length, 50_000);
  await work.remove(disk.pod);
});

test("a container on a disk that stays full can be stopped and removed", async (t) => {
  const disk = await fullDisk(t, "stays");
  const id = await work.run(disk.pod, "writer", ["sh", "-c", `${SOME}; exit 6`]);
  await stalled(join(disk.directory, "writer.log"));
  await work.client.StopContainer({ container_id: id, timeout: 1 });
  assert.equal((await work.status(id)).state, "CONTAINER_EXITED");
  await work.client.RemoveContainer({ container_id: id });
  await work.remove(disk.pod);
});
