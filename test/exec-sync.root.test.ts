/** ExecSync as probes and people use and misuse it: much output, any bytes, any end, and what must not hang. */
import assert from "node:assert/strict";
import { status as code } from "@grpc/grpc-js";
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { patient } from "./harness/patience.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { type TestPod, Workload } from "./harness/workload.ts";

const LIMIT_BYTES = 16 * 1024 * 1024;

let setting: Setting;
let work: Workload;
let pod: TestPod;
let id = "";

before(async () => {
  setting = await makeSetting();
  work = await Workload.begin(setting);
  pod = await work.pod("exec");
  id = await work.run(pod, "target");
});
after(async () => {
  work?.end();
  await setting?.finish();
});

async function residentBytes(): Promise<number> {
  const text = await readFile(`/proc/${setting.daemon.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024;
}

/** Resolves once no process of the container has this text in its command line. */
async function gone(text: string): Promise<void> {
  // The brackets keep the search from finding itself.
  const script = `pgrep -f '[${text.charAt(0)}]${text.slice(1)}' || true`;
  for (const end = performance.now() + patient(30_000); performance.now() < end;) {
    if ((await work.read(id, script)) === "") return;
    await sleep(20);
  }
  throw new Error(`${text} still runs in the container`);
}

test("output over the limit of each stream is read and dropped, and nothing else is lost", async () => {
  const before = await residentBytes();
  let peak = 0;
  const watch = setInterval(() => void residentBytes().then((now) => (peak = Math.max(peak, now))), 20);
  const script = "head -c 50000000 /dev/zero & head -c 40000000 /dev/zero >&2; wait; exit 7";
  const { stdout, stderr, exit_code } = await work.client.ExecSync({
    container_id: id,
    cmd: ["sh", "-c", script],
  });
  clearInterval(watch);
  assert.deepEqual([stdout.length, stderr.length, exit_code], [LIMIT_BYTES, LIMIT_BYTES, 7]);
  console.log(`resident: ${before >> 20} MiB before, ${peak >> 20} MiB at most`);
  // Both streams a few times over: as read, joined, encoded and sent.
  assert.ok(peak - before < 8 * 2 * LIMIT_BYTES, `${(peak - before) >> 20} MiB more than before`);
});

test("output just at the limit is whole", async () => {
  const cmd = ["sh", "-c", `head -c ${LIMIT_BYTES} /dev/urandom | tee /tmp/bytes; sha256sum /tmp/bytes >&2`];
  const { stdout, stderr } = await work.client.ExecSync({ container_id: id, cmd });
  assert.equal(createHash("sha256").update(stdout).digest("hex"), stderr.toString().split(" ")[0]);
});

test("bytes come as they are, on the stream that they were written to", async () => {
  const all = Array.from({ length: 256 }, (_, byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  const cmd = ["printf", `${all}\\n\\000`];
  const { stdout, stderr } = await work.client.ExecSync({ container_id: id, cmd });
  assert.deepEqual([...stdout], [...Array(256).keys(), 10, 0]);
  assert.equal(stderr.length, 0);
  assert.deepEqual(await work.exec(id, "printf a; printf b >&2; printf c; printf d >&2"), {
    stdout: "ac",
    stderr: "bd",
    exitCode: 0,
  });
});

test("every exit code, and deaths by signal", async () => {
  for (let first = 0; first < 256; first += 32) {
    const codes = Array.from({ length: 32 }, (_, i) => first + i);
    const found = await Promise.all(codes.map((value) => work.exec(id, `exit ${value}`)));
    assert.deepEqual(
      found.map(({ exitCode }) => exitCode),
      codes,
    );
  }
  for (const [signal, number] of Object.entries({ KILL: 9, TERM: 15, SEGV: 11, USR1: 10 }))
    assert.equal((await work.exec(id, `kill -${signal} $$; sleep 100`)).exitCode, 128 + number);
});

test("a command that is not there is an error that names it", async () => {
  const call = work.client.ExecSync({ container_id: id, cmd: ["/no/such/command"] });
  await assert.rejects(call, /no\/such\/command/);
});

test("a timeout kills the command with all of its process group", async () => {
  const script = "sh -c 'sleep 7654' & sleep 7655 & trap '' TERM; sleep 7656";
  const started = performance.now();
  await assert.rejects(work.exec(id, script, 1), { code: code.DEADLINE_EXCEEDED });
  assert.ok(performance.now() - started > 900, "not before the timeout");
  for (const seconds of [7654, 7655, 7656]) await gone(`sleep ${seconds}`);
});

test("after a timeout the command is not to be found, however busy the machine is", async () => {
  await Promise.all(
    Array.from({ length: 12 }, async (_, n) => {
      const cmd = ["sleep", String(9500 + n)];
      await assert.rejects(work.client.ExecSync({ container_id: id, cmd, timeout: 1 }), {
        code: code.DEADLINE_EXCEEDED,
      });
      const { stdout } = await work.exec(id, `pgrep -f '^sleep ${9500 + n}$' || true`);
      assert.equal(stdout, "");
    }),
  );
});

test("a caller that goes away has the command and its children killed", async () => {
  const caller = new AbortController();
  const cmd = ["sh", "-c", "sleep 8654 & sleep 8655"];
  const call = work.client.ExecSync({ container_id: id, cmd }, { signal: caller.signal });
  const ended = assert.rejects(call, { code: code.CANCELLED });
  while ((await work.read(id, "pgrep -f '[s]leep 8654' || true")) === "") await sleep(20);
  caller.abort();
  await ended;
  for (const seconds of [8654, 8655]) await gone(`sleep ${seconds}`);
});

test("a process left behind that holds the output does not hold up the call", async () => {
  const script = "sleep 5432 & echo done; exit 4";
  const started = performance.now();
  assert.deepEqual(await work.exec(id, script), { stdout: "done\n", stderr: "", exitCode: 4 });
  assert.ok(performance.now() - started < patient(60_000), "did not wait for it");
  await work.exec(id, "pkill -f '[s]leep 5432'");
});

test("fifty at once each get their own", async () => {
  const calls = Array.from({ length: 50 }, (_, n) =>
    work.exec(id, `echo out ${n}; echo err ${n} >&2; exit ${n}`),
  );
  for (const [n, found] of (await Promise.all(calls)).entries())
    assert.deepEqual(found, { stdout: `out ${n}\n`, stderr: `err ${n}\n`, exitCode: n });
});

test("the end of the container ends the command with it", async () => {
  const victim = await work.run(pod, "victim");
  const call = work.exec(victim, "echo before; sleep 1000");
  await sleep(200);
  await work.client.StopContainer({ container_id: victim, timeout: 0 });
  const { exitCode } = await call.catch(() => ({ exitCode: 137 }));
  assert.equal(exitCode, 137);
});

test("descriptors and processes of the daemon stay as they were", async () => {
  const open = async (): Promise<number> => (await readdir(`/proc/${setting.daemon.pid}/fd`)).length;
  const before = await open();
  for (let round = 0; round < 4; round++)
    await Promise.all(Array.from({ length: 25 }, () => work.exec(id, "true")));
  for (let attempt = 0; attempt < 1000 && (await open()) > before; attempt++) await sleep(20);
  assert.ok((await open()) <= before, `${await open()} descriptors, ${before} before`);
});
