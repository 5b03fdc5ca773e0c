import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import test from "node:test";
import { status, type ServiceError } from "@grpc/grpc-js";
import { errorKind, GantryError, type ErrorKind } from "../base/errors.ts";
import { silentLogger, type Logger } from "../base/logger.ts";
import { fakeEngine, sampleContainer, samplePodSandbox } from "./fake-engine.ts";
import { serveForTest } from "./serve-for-test.ts";

const containerId = sampleContainer.id;

/** Rejects as the server answered, with this code. */
function code(expected: status): (error: ServiceError) => boolean {
  return (error) => {
    assert.equal(status[error.code], status[expected], error.details);
    return true;
  };
}

/** A promise of the signal that the engine was given, and of a wait that ends when it aborts. */
function waiting(): { started: Promise<AbortSignal>; wait: (signal: AbortSignal) => Promise<never> } {
  const started = Promise.withResolvers<AbortSignal>();
  const wait = async (signal: AbortSignal): Promise<never> => {
    started.resolve(signal);
    return await new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
  };
  return { started: started.promise, wait };
}

test("kinds of errors become gRPC codes, with the message", async () => {
  let failure: Error = new Error("unset");
  const fail = async (): Promise<never> => {
    throw failure;
  };
  await using served = await serveForTest(fakeEngine({ startContainer: fail }));
  const codes: Record<ErrorKind, status> = {
    "invalid-argument": status.INVALID_ARGUMENT,
    "not-found": status.NOT_FOUND,
    "already-exists": status.ALREADY_EXISTS,
    "failed-precondition": status.FAILED_PRECONDITION,
    "permission-denied": status.PERMISSION_DENIED,
    unauthenticated: status.UNAUTHENTICATED,
    "resource-exhausted": status.RESOURCE_EXHAUSTED,
    unavailable: status.UNAVAILABLE,
    unimplemented: status.UNIMPLEMENTED,
    cancelled: status.CANCELLED,
    "deadline-exceeded": status.DEADLINE_EXCEEDED,
    "data-loss": status.DATA_LOSS,
    internal: status.INTERNAL,
  };
  for (const [kind, expected] of Object.entries(codes)) {
    failure = new GantryError(kind as ErrorKind, `container "x": it is 100 % ${kind}, said “ü”`);
    await assert.rejects(served.client.StartContainer({ container_id: "x" }), (error: ServiceError) => {
      assert.equal(error.details, failure.message);
      return code(expected)(error);
    });
  }
});

test("a bug is logged with its stack and answered without it", async () => {
  const errors: object[] = [];
  const log: Logger = { ...silentLogger, error: (fields) => errors.push(fields) };
  const bug = new TypeError("x is undefined");
  const broken = async (): Promise<never> => {
    throw bug;
  };
  await using served = await serveForTest(fakeEngine({ startContainer: broken }), { log });
  await assert.rejects(served.client.StartContainer({ container_id: "x" }), (error: ServiceError) => {
    assert.equal(error.details, "x is undefined");
    return code(status.INTERNAL)(error);
  });
  assert.equal(errors.length, 1);
  assert.equal((errors[0] as { err: unknown }).err, bug);
});

test("messages that cannot go into a header do not break the answer", async () => {
  let message = "";
  const fail = async (): Promise<never> => {
    throw new GantryError("not-found", message);
  };
  await using served = await serveForTest(fakeEngine({ startContainer: fail }));
  for (message of ["half a pair: \ud800", `long: ${"ü".repeat(50_000)}`, "line\r\nbreak\0"])
    await assert.rejects(served.client.StartContainer({ container_id: "x" }), code(status.NOT_FOUND));
});

test("the client's deadline aborts the engine's signal", async () => {
  const { wait } = waiting();
  const signals: AbortSignal[] = [];
  const engine = fakeEngine({
    execSync: (_id, _command, _timeoutMs, signal) => {
      signals.push(signal);
      return wait(signal);
    },
  });
  await using served = await serveForTest(engine);
  const call = (timeoutMs: number) =>
    served.client.ExecSync({ container_id: "x", cmd: ["sleep"] }, { timeoutMs });
  // Again, and with more time, where it has passed before the call came.
  for (let timeoutMs = 300; signals.length === 0; timeoutMs *= 2)
    await assert.rejects(call(timeoutMs), code(status.DEADLINE_EXCEEDED));
  const [signal = assert.fail()] = signals;
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
  assert.equal(errorKind(signal.reason), "deadline-exceeded");
});

test("a client that gives up aborts the engine's signal", async () => {
  const { started, wait } = waiting();
  await using served = await serveForTest(fakeEngine({ stopContainer: (_id, _ms, signal) => wait(signal) }));
  const giveUp = new AbortController();
  const call = served.client.StopContainer({ container_id: "x", timeout: 30 }, { signal: giveUp.signal });
  const rejected = assert.rejects(call, code(status.CANCELLED));
  const signal = await started;
  assert.equal(signal.aborted, false);
  giveUp.abort();
  await rejected;
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
  assert.equal(errorKind(signal.reason), "cancelled");
});

test("a call that has ended aborts nothing", async () => {
  const signals: AbortSignal[] = [];
  const engine = fakeEngine({
    startContainer: async (_id, signal) => {
      signals.push(signal);
    },
  });
  await using served = await serveForTest(engine);
  await served.client.StartContainer({ container_id: "x" });
  await served.client.Version({});
  assert.deepEqual(
    signals.map((signal) => signal.aborted),
    [false],
  );
});

test("what breaks because of an abort is the abort", async () => {
  const { started, wait } = waiting();
  const engine = fakeEngine({
    stopContainer: async (_id, _ms, signal) => {
      await wait(signal).catch(() => undefined);
      throw new Error("socket closed");
    },
  });
  const logged: { code?: string }[] = [];
  const log: Logger = { ...silentLogger, warn: (fields) => logged.push(fields) };
  await using served = await serveForTest(engine, { log });
  const giveUp = new AbortController();
  const call = served.client.StopContainer({ container_id: "x" }, { signal: giveUp.signal });
  const rejected = assert.rejects(call);
  await started;
  giveUp.abort();
  await rejected;
  while (logged.length === 0) await served.client.Version({});
  assert.equal(logged[0]?.code, "CANCELLED");
});

test("what is not served says so by name", async () => {
  await using served = await serveForTest(fakeEngine());
  await assert.rejects(served.client.CheckpointPod({}), (error: ServiceError) => {
    assert.match(error.details, /^CheckpointPod is not implemented/);
    return code(status.UNIMPLEMENTED)(error);
  });
});

test("logs have ids and codes, and never credentials, commands or environments", async () => {
  const lines: { level: string; fields: object }[] = [];
  const at = (level: string) => (fields: object) => void lines.push({ level, fields });
  const log: Logger = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => log,
  };
  await using served = await serveForTest(fakeEngine(), { log });
  const secret = "hunter2";
  await served.client.PullImage({
    image: { image: "busybox" },
    auth: { username: "u", password: secret, identity_token: secret },
  });
  await served.client.ExecSync({ container_id: containerId, cmd: ["echo", secret] });
  await served.client.CreateContainer({
    pod_sandbox_id: samplePodSandbox.id,
    config: {
      metadata: { name: "main" },
      image: { image: "busybox" },
      envs: [{ key: "P", value: Buffer.from(secret) }],
    },
  });
  await served.client.ListContainers({});
  await assert.rejects(served.client.ContainerStatus({ container_id: "zz" }));
  await assert.rejects(served.client.StartContainer({}));
  assert.ok(!JSON.stringify(lines).includes(secret));
  const levels = lines.map(({ level, fields }) => `${(fields as { rpc: string }).rpc} ${level}`);
  assert.deepEqual(levels, [
    "PullImage info",
    "ExecSync debug",
    "CreateContainer info",
    "ListContainers debug",
    "ContainerStatus debug",
    "StartContainer warn",
  ]);
  assert.partialDeepStrictEqual(lines[0]?.fields, { image: "busybox" });
  assert.partialDeepStrictEqual(lines[2]?.fields, {
    podSandboxId: samplePodSandbox.id,
    containerId,
    name: "main",
  });
  assert.partialDeepStrictEqual(lines[5]?.fields, {
    code: "INVALID_ARGUMENT",
    error: "container_id is empty",
  });
});

test("a drain lets running calls finish and takes no new ones", async () => {
  const release = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const engine = fakeEngine({
    startContainer: async () => {
      started.resolve();
      await release.promise;
    },
  });
  await using served = await serveForTest(engine);
  const call = served.client.StartContainer({ container_id: "x" });
  await started.promise;
  const drained = served.server.drain(60_000);
  await assert.rejects(served.client.Version({}), code(status.UNAVAILABLE));
  release.resolve();
  await call;
  await drained;
  assert.ok(!existsSync(served.socketPath));
});

test("a drain aborts what does not finish in time", async () => {
  const { started, wait } = waiting();
  await using served = await serveForTest(fakeEngine({ startContainer: (_id, signal) => wait(signal) }));
  const call = assert.rejects(served.client.StartContainer({ container_id: "x" }), code(status.UNAVAILABLE));
  await started;
  await served.server.drain(1);
  await call;
});

test("a second server on the same socket is refused, and the first goes on", async () => {
  await using served = await serveForTest(fakeEngine());
  await using other = await serveForTest(fakeEngine());
  await assert.rejects(other.server.listen(served.socketPath), { kind: "already-exists" });
  await served.client.Version({});
});

test("a path that is no socket is not overwritten", async () => {
  await using served = await serveForTest(fakeEngine());
  const path = `${served.socketPath}.txt`;
  writeFileSync(path, "mine");
  await assert.rejects(served.server.listen(path), { kind: "failed-precondition" });
});

test("requests larger than allowed are refused, and those allowed are not", async () => {
  await using served = await serveForTest(fakeEngine(), { maxMessageBytes: 100_000 });
  const config = (bytes: number): object => ({
    metadata: { name: "main" },
    image: { image: "busybox" },
    annotations: { big: "x".repeat(bytes) },
  });
  const create = (bytes: number): Promise<object> =>
    served.client.CreateContainer({ pod_sandbox_id: "p", config: config(bytes) });
  await create(90_000);
  await assert.rejects(create(200_000), code(status.RESOURCE_EXHAUSTED));
});

test("replies may be larger than requests: two full streams of ExecSync", async () => {
  const full = Buffer.alloc(16 * 1024 * 1024, "x");
  const engine = fakeEngine({ execSync: async () => ({ stdout: full, stderr: full, exitCode: 0 }) });
  await using served = await serveForTest(engine);
  const reply = await served.client.ExecSync({ container_id: "x", cmd: ["cat"] });
  assert.equal(reply.stdout.length + reply.stderr.length, 32 * 1024 * 1024);
});

test("streams in many messages hold each item once, and an empty list gives no message", async () => {
  const ids = Array.from({ length: 1000 }, (_, index) => String(index));
  let listed = ids.map((id) => ({ ...sampleContainer, id }));
  const engine = fakeEngine({ listContainers: () => listed });
  await using served = await serveForTest(engine);
  const messages = await served.client.StreamContainers({});
  assert.ok(messages.length > 1);
  assert.ok(messages.every((message) => message.containers.length > 0));
  assert.deepEqual(
    messages.flatMap((message) => message.containers.map((container) => container.id)),
    ids,
  );
  listed = [];
  assert.deepEqual(await served.client.StreamContainers({}), []);
});
