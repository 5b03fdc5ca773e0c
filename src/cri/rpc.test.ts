import assert from "node:assert/strict";
import test from "node:test";
import { status, type ServiceError } from "@grpc/grpc-js";
import { GantryError } from "../base/errors.ts";
import { fakeEngine, sampleContainer, sampleImage, samplePodSandbox } from "./fake-engine.ts";
import { serveForTest } from "./serve-for-test.ts";

const podSandboxId = samplePodSandbox.id;
const containerId = sampleContainer.id;

function answers(code: status, details?: RegExp): (error: ServiceError) => boolean {
  return (error) => {
    assert.equal(status[error.code], status[code], error.details);
    if (details) assert.match(error.details, details);
    return true;
  };
}

test("Version, RuntimeConfig, UpdateRuntimeConfig", async () => {
  const engine = fakeEngine({ cgroupDriver: "systemd" });
  await using served = await serveForTest(engine);
  const version = await served.client.Version({ version: "0.1.0" });
  assert.deepEqual(version, {
    version: "0.1.0",
    runtime_name: "gantry",
    runtime_version: "9.8.7",
    runtime_api_version: "v1",
  });
  assert.equal((await served.client.RuntimeConfig({})).linux?.cgroup_driver, "SYSTEMD");
  assert.deepEqual(await served.client.UpdateRuntimeConfig({}), {});
  const podCidr = "10.1.0.0/24,fd00:1::/64";
  await served.client.UpdateRuntimeConfig({ runtime_config: { network_config: { pod_cidr: podCidr } } });
  assert.deepEqual(
    engine.asked.filter(([name]) => name === "setPodCidrs"),
    [
      ["setPodCidrs", ""],
      ["setPodCidrs", podCidr],
    ],
  );
});

test("Status: both conditions always, handlers with the default one, info only when asked for", async () => {
  await using served = await serveForTest(fakeEngine());
  const reply = await served.client.Status({});
  assert.deepEqual(reply.status?.conditions, [
    { type: "RuntimeReady", status: true, reason: "", message: "" },
    {
      type: "NetworkReady",
      status: false,
      reason: "NetworkPluginNotReady",
      message: "no configuration",
    },
  ]);
  assert.deepEqual(
    reply.runtime_handlers.map((handler) => handler.name),
    ["", "gantry"],
  );
  assert.equal(reply.runtime_handlers[0]?.features?.recursive_read_only_mounts, true);
  assert.deepEqual(reply.info, {});
  const verbose = await served.client.Status({ verbose: true });
  assert.deepEqual(verbose.info, { config: `{"a":1}`, snapshotter: `"overlayfs"` });
});

test("RunPodSandbox, StopPodSandbox, RemovePodSandbox", async () => {
  const engine = fakeEngine();
  await using served = await serveForTest(engine);
  const config = { metadata: { name: "web", uid: "u", namespace: "default" } };
  const { pod_sandbox_id: id } = await served.client.RunPodSandbox({ config, runtime_handler: "kata" });
  assert.equal(id, podSandboxId);
  assert.equal(engine.asked[0]?.[2], "kata");
  await served.client.StopPodSandbox({ pod_sandbox_id: id });
  await served.client.RemovePodSandbox({ pod_sandbox_id: id });
  assert.deepEqual(engine.asked.slice(1), [
    ["stopPodSandbox", id],
    ["removePodSandbox", id],
  ]);
  // An empty id would be a prefix of every id.
  await assert.rejects(
    served.client.StopPodSandbox({}),
    answers(status.INVALID_ARGUMENT, /pod_sandbox_id is empty/),
  );
  await assert.rejects(
    served.client.RunPodSandbox({}),
    answers(status.INVALID_ARGUMENT, /^config is missing/),
  );
});

test("PodSandboxStatus and the lists of sandboxes", async () => {
  await using served = await serveForTest(fakeEngine());
  const reply = await served.client.PodSandboxStatus({ pod_sandbox_id: podSandboxId, verbose: true });
  assert.equal(reply.status?.state, "SANDBOX_READY");
  assert.equal(reply.status?.created_at, "1763700000123456789");
  assert.deepEqual(reply.status?.annotations, samplePodSandbox.config.annotations);
  assert.equal(reply.containers_statuses[0]?.id, containerId);
  assert.ok(BigInt(reply.timestamp) > 0n);
  assert.deepEqual(reply.info, { info: `{"pid":12}` });
  await assert.rejects(served.client.PodSandboxStatus({ pod_sandbox_id: "zz" }), answers(status.NOT_FOUND));
  const { items } = await served.client.ListPodSandbox({});
  assert.equal(items[0]?.metadata?.attempt, 2);
  assert.deepEqual((await served.client.StreamPodSandboxes({}))[0]?.pod_sandboxes, items);
});

test("CreateContainer, StartContainer, StopContainer, RemoveContainer, ReopenContainerLog", async () => {
  const engine = fakeEngine();
  await using served = await serveForTest(engine);
  const config = { metadata: { name: "main" }, image: { image: "busybox" }, command: ["sh"] };
  const { container_id: id } = await served.client.CreateContainer({ pod_sandbox_id: "p", config });
  assert.equal(id, containerId);
  await served.client.StartContainer({ container_id: id });
  await served.client.StopContainer({ container_id: id, timeout: 30 });
  await served.client.StopContainer({ container_id: id });
  await served.client.StopContainer({ container_id: id, timeout: "9223372036854775807" });
  await served.client.ReopenContainerLog({ container_id: id });
  await served.client.RemoveContainer({ container_id: id });
  assert.deepEqual(engine.asked.slice(1), [
    ["startContainer", id],
    ["stopContainer", id, 30_000],
    ["stopContainer", id, 0],
    // More than a timer can wait would end at once.
    ["stopContainer", id, 2 ** 31 - 1],
    ["reopenContainerLog", id],
    ["removeContainer", id],
  ]);
  await assert.rejects(
    served.client.StopContainer({ container_id: id, timeout: -1 }),
    answers(status.INVALID_ARGUMENT, /^timeout is -1/),
  );
});

test("ContainerStatus and the lists of containers", async () => {
  await using served = await serveForTest(fakeEngine());
  const reply = await served.client.ContainerStatus({ container_id: containerId, verbose: true });
  assert.equal(reply.status?.state, "CONTAINER_EXITED");
  assert.equal(reply.status?.exit_code, 137);
  assert.equal(reply.status?.reason, "OOMKilled");
  assert.equal(reply.status?.stop_signal, "SIGNAL_SIGRTMINPLUS3");
  assert.equal(reply.status?.image_id, sampleImage.id);
  assert.deepEqual(reply.status?.user?.linux, { uid: "1000", gid: "1001", supplemental_groups: ["5", "6"] });
  assert.equal(reply.status?.resources?.linux?.oom_score_adj, "-998");
  assert.deepEqual(reply.info, { info: `{"pid":34,"startedAtNs":"5"}` });
  const filter = { state: { state: "CONTAINER_EXITED" }, label_selector: { tier: "front" } } as const;
  const { containers } = await served.client.ListContainers({ filter });
  assert.equal(containers[0]?.image_id, sampleImage.id);
  assert.deepEqual((await served.client.StreamContainers({ filter }))[0]?.containers, containers);
});

test("ExecSync: bytes, exit code, timeout", async () => {
  const engine = fakeEngine();
  await using served = await serveForTest(engine);
  const request = { container_id: containerId, cmd: ["a", "b"], timeout: 2 };
  const reply = await served.client.ExecSync(request);
  assert.deepEqual(reply.stdout, Buffer.from([0, 255, 10]));
  assert.equal(reply.exit_code, 3);
  assert.deepEqual(engine.asked, [["execSync", containerId, ["a", "b"], 2000]]);
  await assert.rejects(
    served.client.ExecSync({ ...request, cmd: [] }),
    answers(status.INVALID_ARGUMENT, /cmd/),
  );
  await assert.rejects(served.client.ExecSync({ ...request, timeout: -1 }), answers(status.INVALID_ARGUMENT));
});

test("images: one identity everywhere, unknown ones are no error", async () => {
  const engine = fakeEngine();
  await using served = await serveForTest(engine);
  const { images } = await served.client.ListImages({});
  assert.equal(images[0]?.id, sampleImage.id);
  assert.equal(images[0]?.uid?.value, "1000");
  assert.equal(images[0]?.username, "");
  assert.deepEqual((await served.client.StreamImages({}))[0]?.images, images);
  const none = await served.client.ListImages({ filter: { image: { image: "nginx" } } });
  assert.deepEqual(none.images, []);
  const pulled = await served.client.PullImage({
    image: { image: "busybox" },
    auth: { username: "u", password: "p" },
  });
  assert.equal(pulled.image_ref, sampleImage.id);
  assert.deepEqual(engine.asked[0], [
    "pull",
    { reference: "busybox", auth: { username: "u", password: "p" } },
  ]);
  const found = await served.client.ImageStatus({ image: { image: pulled.image_ref }, verbose: true });
  assert.deepEqual(found.image, images[0]);
  const facts = JSON.parse(found.info["info"] ?? "") as { imageSpec: { config: { User: string } } };
  assert.equal(facts.imageSpec.config.User, "1000:1000");
  const unknown = await served.client.ImageStatus({ image: { image: "nginx" }, verbose: true });
  assert.deepEqual(unknown, { image: null, info: {} });
  assert.deepEqual(await served.client.RemoveImage({ image: { image: "nginx" } }), {});
  const { image_filesystems: filesystems } = await served.client.ImageFsInfo({});
  assert.equal(filesystems[0]?.used_bytes?.value, "77");
  await assert.rejects(served.client.RemoveImage({}), answers(status.INVALID_ARGUMENT, /^image is missing/));
  await assert.rejects(
    served.client.PullImage({ image: { image: "busybox", runtime_handler: "kata" } }),
    answers(status.INVALID_ARGUMENT, /runtime_handler "kata" is not configured/),
  );
});

test("an engine that knows nothing of an id answers so through status calls and lets removals pass", async () => {
  const missing = (): never => {
    throw new GantryError("not-found", `container "x" is not known`);
  };
  await using served = await serveForTest(fakeEngine({ container: missing, podSandbox: missing }));
  await assert.rejects(served.client.ContainerStatus({ container_id: "x" }), answers(status.NOT_FOUND));
  await assert.rejects(served.client.PodSandboxStatus({ pod_sandbox_id: "x" }), answers(status.NOT_FOUND));
  await served.client.RemoveContainer({ container_id: "x" });
});
