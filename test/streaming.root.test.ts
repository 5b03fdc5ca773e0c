/** exec, attach and port-forward with the real crictl, over both transports, and with clients that misbehave. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { makeCertificate } from "../src/cri/streaming/self-made-certificate.ts";
import { SpdyTestClient } from "../src/cri/streaming/spdy-test-client.ts";
import { freePort } from "./harness/free-port.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { type TestPod, Workload } from "./harness/workload.ts";

const TRANSPORTS = ["spdy", "websocket"] as const;

let setting: Setting;
let work: Workload;
let pod: TestPod;
let id = "";

before(async () => {
  setting = await makeSetting();
  work = await Workload.begin(setting);
  pod = await work.pod("streaming");
  id = await work.run(pod, "target");
});
after(async () => {
  work?.end();
  await setting?.finish();
});

async function eventually<T>(what: string, find: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (let attempt = 0; attempt < 1500; attempt++) {
    const found = await find();
    if (found !== undefined) return found;
    await sleep(20);
  }
  throw new Error(`not in time: ${what}`);
}

async function residentBytes(): Promise<number> {
  const status = await readFile(`/proc/${setting.daemon.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

async function descriptors(): Promise<number> {
  return (await readdir(`/proc/${setting.daemon.pid}/fd`)).length;
}

/** Resolves once no process of the container has this text in its command line. */
async function gone(text: string): Promise<void> {
  const script = `pgrep -f '[${text.charAt(0)}]${text.slice(1)}' || true`;
  await eventually(`${text} has ended`, async () =>
    (await work.read(id, script)) === "" ? true : undefined,
  );
}

async function execUrl(script: string, more: object = {}): Promise<string> {
  const request = { container_id: id, cmd: ["sh", "-c", script], stdout: true, ...more };
  return (await work.client.Exec(request)).url;
}

async function openWebSocket(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url.replace(/^http/, "ws"), ["v5.channel.k8s.io"]);
  await once(socket, "open");
  return socket;
}

/** What a child prints, so far and to its end. */
function output(child: ChildProcess): { text: string; end: Promise<unknown> } {
  const seen = { text: "", end: once(child, "close") };
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (seen.text += chunk.toString()));
  return seen;
}

for (const transport of TRANSPORTS) {
  test(`${transport}: exec tells output, errors and exit code apart, and ends its input`, async () => {
    const { crictl } = setting;
    const flags = ["--transport", transport];
    const script = "echo out; echo err >&2; exit 7";
    const failed = await crictl.try("exec", ...flags, id, "sh", "-c", script);
    assert.equal(failed.stdout, "out\n");
    assert.match(failed.stderr, /^err$/m);
    assert.match(failed.stderr, /7/);
    assert.notEqual(failed.code, 0);
    const input = "line\n".repeat(100_000);
    const copied = await crictl.tryWith(input, "exec", "-i", ...flags, id, "cat");
    assert.equal(copied.code, 0, copied.stderr);
    assert.ok(copied.stdout === input, `${copied.stdout.length} of ${input.length} came back`);
    const none = await crictl.try("exec", ...flags, id, "/no/such/command");
    assert.match(none.stderr, /no\/such\/command/);
  });

  test(`${transport}: exec with a terminal has the client's size, and hears of a new one`, async () => {
    const [program, args] = setting.crictl.command("exec", "-it", "--transport", transport, id, "sh");
    const shell = [program, ...args].map((word) => `'${word}'`).join(" ");
    const child = spawn("script", ["-qec", `stty rows 33 cols 77; ${shell}`, "/dev/null"]);
    const seen = output(child);
    child.stdin.write("until stty size | grep '33 77'; do sleep 0.02; done; echo $((40+2)); tty\n");
    await eventually("the answer", () => (/\/dev\/pts\/\d/.test(seen.text) ? true : undefined));
    assert.match(seen.text, /33 77\r?\n42\r?\n\/dev\/pts\/\d+/);
    child.stdin.write("exit 0\n");
    await seen.end;
  });

  test(`${transport}: attach joins a running container and leaves it running`, async () => {
    const { crictl } = setting;
    const attached = await work.run(
      pod,
      `attached-${transport}`,
      ["sh", "-c", 'while read -r line; do echo "got $line"; echo "error $line" >&2; done'],
      {
        stdin: true,
      },
    );
    const clients = ["one", "two"].map(() => {
      const child = spawn(...crictl.command("attach", "-i", "--transport", transport, attached));
      return { child, seen: output(child) };
    });
    const [first, second] = clients;
    assert.ok(first && second);
    // Written again until both have joined: there is no other sign of it.
    await eventually("both see it", () => {
      first.child.stdin?.write("hello\n");
      const both = clients.every(({ seen }) => /got hello/.test(seen.text) && /error hello/.test(seen.text));
      return both ? true : undefined;
    });
    first.child.kill("SIGKILL");
    await first.seen.end;
    second.child.stdin?.write("again\n");
    await eventually("the second goes on", () => (/got again/.test(second.seen.text) ? true : undefined));
    second.child.kill("SIGKILL");
    await second.seen.end;
    const { status } = await work.client.ContainerStatus({ container_id: attached });
    assert.equal(status?.state, "CONTAINER_RUNNING");
  });

  test(`${transport}: port-forward reaches what listens in the pod, again and again`, async () => {
    await using forwarded = await forward(transport, pod.id, 8080);
    for (const round of ["1", "2"]) {
      const server = work.read(id, `echo 'answer ${round}' | nc -l -p 8080`);
      assert.equal(await ask(forwarded.port), `answer ${round}\n`);
      await server;
    }
  });
}

/** What the listener behind the port says, once there is one. */
function ask(port: number): Promise<string> {
  return eventually("an answer", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    const received = await text(socket).catch(() => "");
    return received === "" ? undefined : received;
  });
}

interface Forward extends AsyncDisposable {
  port: number;
}

/** crictl gives up at the first connection that is refused, and is started again then. */
async function forward(transport: string, podId: string, remote: number): Promise<Forward> {
  const port = await freePort();
  let ended = false;
  let child: ChildProcess | undefined;
  let end: Promise<unknown> = Promise.resolve();
  const run = async (): Promise<void> => {
    while (!ended) {
      child = spawn(
        ...setting.crictl.command("port-forward", "--transport", transport, podId, `${port}:${remote}`),
      );
      end = once(child, "exit");
      await end;
    }
  };
  const running = run();
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      ended = true;
      child?.kill("SIGKILL");
      await end;
      await running;
    },
  };
}

test("standard input that is for one client ends with it", async () => {
  const single = await work.run(pod, "once", ["sh", "-c", "cat; echo ended; sleep 1d"], {
    stdin: true,
    stdin_once: true,
  });
  const { crictl } = setting;
  const child = spawn(...crictl.command("attach", "-i", single));
  const seen = output(child);
  await eventually("the echo", () => {
    child.stdin.write("hello\n");
    return /hello/.test(seen.text) ? true : undefined;
  });
  child.stdin.end();
  await eventually("the end", () => (/ended/.test(seen.text) ? true : undefined));
  child.kill("SIGKILL");
  await seen.end;
});

test("attach with a terminal has the program draw anew", async () => {
  const drawing = await work.run(
    pod,
    "drawing",
    ["sh", "-c", 'trap "stty size" WINCH; while :; do sleep 0.05; done'],
    {
      stdin: true,
      tty: true,
    },
  );
  const [program, args] = setting.crictl.command("attach", "-it", drawing);
  const shell = [program, ...args].map((word) => `'${word}'`).join(" ");
  for (const rows of [33, 33]) {
    const child = spawn("script", ["-qec", `stty rows ${rows} cols 77; ${shell}`, "/dev/null"]);
    const seen = output(child);
    await eventually("the size", () => (/33 77/.test(seen.text) ? true : undefined));
    child.kill("SIGKILL");
    await seen.end;
  }
});

test("port-forward into a pod on the host's network", async () => {
  const host = await work.pod("host-streaming", {
    hostname: "",
    linux: { security_context: { namespace_options: { network: 2, pid: 1 } } },
  });
  const container = await work.run(host, "server");
  const remote = await freePort();
  await using forwarded = await forward("spdy", host.id, remote);
  const server = work.read(container, `echo here | nc -l -p ${remote}`);
  assert.equal(await ask(forwarded.port), "here\n");
  await server;
});

test("what may not be streamed is refused before there is a URL", async () => {
  const { client } = work;
  const exec = { container_id: id, cmd: ["true"] };
  await assert.rejects(client.Exec(exec), /all false/);
  await assert.rejects(client.Exec({ ...exec, stdout: true, stderr: true, tty: true }), /stderr/);
  await assert.rejects(client.Exec({ container_id: "none", cmd: ["true"], stdout: true }), /not found/);
  await assert.rejects(client.Attach({ container_id: id, stdout: true, tty: true }), /tty/);
  await assert.rejects(client.PortForward({ pod_sandbox_id: "none" }), /not found/);
});

test("a process dies with its client", async () => {
  const socket = await openWebSocket(await execUrl("sleep 1234"));
  await eventually(
    "it runs",
    async () => (await work.read(id, "pgrep -f '[s]leep 1234' || true")) || undefined,
  );
  socket.terminate();
  await gone("sleep 1234");
});

test("512 MiB to a client that stops reading: every byte, in bounded memory", async () => {
  const total = 512 * 1024 * 1024;
  const before_ = await residentBytes();
  let peak = 0;
  const watch = setInterval(() => void residentBytes().then((now) => (peak = Math.max(peak, now))), 50);
  const client = await SpdyTestClient.connect(await execUrl(`head -c ${total} /dev/zero`));
  client.open({ streamtype: "error" });
  client.open({ streamtype: "stdout" });
  let received = 0;
  // The test client keeps what it gets, so bytes are counted at the socket: frames' heads are on top.
  client.socket.removeAllListeners("data");
  client.socket.on("data", (chunk: Buffer) => (received += chunk.length));
  for (let round = 0; round < 5; round++) {
    await sleep(100);
    client.socket.pause();
    await sleep(400);
    client.socket.resume();
  }
  client.socket.once("end", () => client.socket.end());
  await client.closed();
  clearInterval(watch);
  assert.ok(received >= total && received < total * 1.01, `${received} of ${total}`);
  assert.ok(peak - before_ < 96 * 1024 * 1024, `grew by ${peak - before_}`);
});

test("128 MiB into a process that reads slowly: every byte, in bounded memory", async () => {
  const total = 128 * 1024 * 1024;
  const before_ = await residentBytes();
  let peak = 0;
  const watch = setInterval(() => void residentBytes().then((now) => (peak = Math.max(peak, now))), 50);
  const socket = await openWebSocket(await execUrl("sleep 2; cat | wc -c", { stdin: true }));
  let said = "";
  socket.on("message", (data: Buffer) => (said += data[0] === 1 ? data.toString("utf8", 1) : ""));
  const message = Buffer.alloc(32 * 1024 + 1);
  for (let sent = 0; sent < total; sent += message.length - 1) {
    const sending = new Promise((resolve) => socket.send(message, resolve));
    if (socket.bufferedAmount > 1024 * 1024) await sending;
  }
  socket.send(Buffer.from([255, 0]));
  await once(socket, "close");
  clearInterval(watch);
  assert.equal(said.trim(), String(total));
  assert.ok(peak - before_ < 96 * 1024 * 1024, `grew by ${peak - before_}`);
});

test("many execs and attaches that are dropped leave nothing", async () => {
  const attached = await work.run(pod, "dropped", ["sh", "-c", "while :; do echo x; sleep 0.01; done"], {
    stdin: true,
  });
  const dropOne = async (round: number): Promise<void> => {
    const request = { container_id: attached, stdin: true, stdout: true, stderr: true };
    const url =
      round % 2 === 0
        ? await execUrl("sleep 4321", { stdin: true })
        : (await work.client.Attach(request)).url;
    if (round % 3 === 0) {
      const client = await SpdyTestClient.connect(url);
      for (const streamtype of ["error", "stdin", "stdout", "stderr"]) client.open({ streamtype });
      client.socket.destroy();
      return;
    }
    const socket = await openWebSocket(url);
    socket.on("error", () => undefined);
    socket.send(Buffer.from("\0some input"));
    socket.terminate();
  };
  for (let round = 0; round < 60; round++) await dropOne(round);
  await gone("sleep 4321");
  const open = await descriptors();
  const resident = await residentBytes();
  for (let round = 0; round < 400; round += 8)
    await Promise.all(Array.from({ length: 8 }, (_, index) => dropOne(round + index)));
  await gone("sleep 4321");
  await eventually("descriptors are given back", async () =>
    (await descriptors()) <= open ? true : undefined,
  );
  const grown = (await residentBytes()) - resident;
  assert.ok(grown < 40 * 1024 * 1024, `grew by ${grown}`);
  const { status } = await work.client.ContainerStatus({ container_id: attached });
  assert.equal(status?.state, "CONTAINER_RUNNING");
});

test("over TLS, with the files of the configuration", async () => {
  const directory = await mkdtemp(join(tmpdir(), "gantry-streaming-"));
  const certified = makeCertificate("gantryd", ["127.0.0.1", "localhost"]);
  await writeFile(join(directory, "tls.crt"), certified.certificate);
  await writeFile(join(directory, "tls.key"), certified.key);
  const files = `certificate_file = "${directory}/tls.crt"\nkey_file = "${directory}/tls.key"`;
  const secure = await makeSetting({ configuration: `[streaming]\ntls = "files"\n${files}` });
  try {
    const secureWork = await Workload.begin(secure);
    const container = await secureWork.run(await secureWork.pod("secure"), "target");
    for (const transport of TRANSPORTS) {
      // crictl insists on a certificate of its own, which nobody asks it for.
      const [crt, key] = [join(directory, "tls.crt"), join(directory, "tls.key")];
      const flags = ["--transport", transport, "--tls-ca", crt, "--tls-cert", crt, "--tls-key", key];
      const answer = await secure.crictl.tryWith("hello", "exec", "-i", ...flags, container, "cat");
      assert.deepEqual([answer.code, answer.stdout], [0, "hello"], answer.stderr);
    }
    secureWork.end();
  } finally {
    await secure.finish();
    await rm(directory, { recursive: true });
  }
});
