import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { text } from "node:stream/consumers";
import { connectLoopback } from "./loopback-connect.ts";
import { pinNamespaces, unpinNamespaces } from "./namespace.ts";

const signal = new AbortController().signal;
let directory = "";
let netns = "";

before(async () => {
  if (process.getuid?.() !== 0) throw new Error("this test needs root");
  directory = mkdtempSync(join(tmpdir(), "gantry-connect-"));
  const pins = { net: true, ipc: false, uts: false, loopback: true, sysctls: [] };
  await pinNamespaces({ directory: join(directory, "pod"), ...pins });
  netns = join(directory, "pod/net");
});
after(async () => {
  await unpinNamespaces(join(directory, "pod"));
  rmSync(directory, { recursive: true });
});

const SERVER = `
  const server = require("net").createServer({ allowHalfOpen: true }, (socket) => {
    let got = "";
    socket.on("data", (chunk) => (got += chunk)).on("end", () => socket.end("in the pod: " + got));
  });
  server.listen(Number(process.argv[1]), process.argv[2], () => console.log("up"));`;

async function whole(socket: Socket): Promise<string> {
  const received = await text(socket);
  socket.destroy();
  return received;
}

async function inside<T>(address: string, port: number, work: () => Promise<T>): Promise<T> {
  const child = spawn("nsenter", [`--net=${netns}`, process.execPath, "-e", SERVER, String(port), address]);
  const end = once(child, "exit");
  await once(child.stdout, "data");
  try {
    return await work();
  } finally {
    child.kill("SIGKILL");
    await end;
  }
}

for (const address of ["127.0.0.1", "::1"])
  test(`a listener at ${address} of the namespace, half-closed`, async () => {
    const answer = await inside(address, 8080, async () => {
      const socket = await connectLoopback(netns, 8080, 5000, signal);
      socket.end("hello");
      return await whole(socket);
    });
    assert.equal(answer, "in the pod: hello");
    await assert.rejects(connectLoopback(undefined, 8080, 5000, signal), { kind: "unavailable" });
  });

/** The threads of this process that are in another network namespace than its first one. */
function threadsElsewhere(): string[] {
  const own = readlinkSync("/proc/self/ns/net");
  return readdirSync("/proc/self/task").filter((task) => {
    try {
      return readlinkSync(`/proc/self/task/${task}/ns/net`) !== own;
    } catch {
      return false; // It has ended.
    }
  });
}

test("the process's own namespace, and its threads stay in it", async () => {
  const server = createServer((socket) => socket.end("on the host"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  assert.equal(await whole(await connectLoopback(undefined, port, 5000, signal)), "on the host");
  await assert.rejects(connectLoopback(netns, port, 5000, signal), {
    kind: "unavailable",
    message: /connect: ECONNREFUSED/,
  });
  server.close();
  // The thread of the job tells its result before it ends, and it ends in the namespace that it entered.
  while (threadsElsewhere().length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
});

test("an abort ends the wait; no descriptor stays", async () => {
  const descriptors = (): number => readdirSync("/proc/self/fd").length;
  const before = descriptors();
  const controller = new AbortController();
  const waits = Array.from({ length: 20 }, () => connectLoopback(netns, 9, 5000, controller.signal));
  controller.abort(new Error("gone"));
  for (const wait of waits) await assert.rejects(wait, /gone|ECONNREFUSED/);
  await assert.rejects(connectLoopback(join(directory, "none"), 9, 5000, signal), /ENOENT/);
  await assert.rejects(connectLoopback("/proc/self/ns/uts", 9, 5000, signal), /setns: EINVAL/);
  while (descriptors() > before) await new Promise((resolve) => setTimeout(resolve, 10));
});

test("a listener that takes nothing keeps only so many threads, however many callers come and go", async () => {
  // The queue of a listener that accepts nobody holds two; what comes then gets no answer.
  const hang = spawn("nsenter", [
    `--net=${netns}`,
    "python3",
    "-c",
    "import socket,time\ns=socket.socket(); s.bind(('127.0.0.1',8081)); s.listen(0); print('up',flush=True); time.sleep(600)",
  ]);
  const end = once(hang, "exit");
  await once(hang.stdout, "data");
  const threads = (): number => readdirSync("/proc/self/task").length;
  const before = threads();
  try {
    const sockets: Socket[] = [];
    for (let round = 0; round < 5; round++) {
      const controller = new AbortController();
      const waits = Array.from({ length: 40 }, () =>
        connectLoopback(netns, 8081, 2000, controller.signal).then(
          (socket) => void sockets.push(socket.on("error", () => undefined)),
          () => undefined,
        ),
      );
      await new Promise((resolve) => setTimeout(resolve, 50));
      controller.abort(new Error("gone"));
      await Promise.all(waits);
    }
    assert.ok(threads() - before <= 40, `${threads() - before} threads`);
    for (const socket of sockets) socket.destroy();
    while (threads() > before) await new Promise((resolve) => setTimeout(resolve, 20));
  } finally {
    hang.kill("SIGKILL");
    await end;
  }
});
