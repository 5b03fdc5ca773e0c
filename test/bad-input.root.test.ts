/** Bad input to the running daemon: the right gRPC code, a message that names what is wrong, and nothing left. */
import assert from "node:assert/strict";
import { status } from "@grpc/grpc-js";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { criClient, type CriClient } from "../src/cri/client.ts";
import { FakeRegistry, sha256 } from "../src/image/registry/fake-registry.ts";
import { type LayerEntry, pushImage, tarOf } from "./harness/image-builder.ts";
import { patient } from "./harness/patience.ts";
import { BUSYBOX, makeSetting, podConfig, type Setting } from "./harness/setting.ts";
import { startRegistry } from "./harness/registry.ts";

let setting: Setting;
let client: CriClient;
let liar: FakeRegistry;
let pod = "";

before(async () => {
  liar = await new FakeRegistry().start();
  setting = await makeSetting();
  client = criClient(setting.daemon.endpoint);
  await setting.crictl.run("pull", BUSYBOX);
  pod = await setting.crictl.run("runp", await setting.crictl.config(podConfig("bad-input")));
});
after(async () => {
  client.close();
  await liar.stop();
  await setting.finish();
});

/** The call must fail with this code and a message like this. */
async function refused(call: Promise<unknown>, code: status, message: RegExp): Promise<void> {
  await assert.rejects(call, (error: { code: number; details: string }) => {
    assert.equal(status[error.code], status[code], error.details);
    assert.match(error.details, message);
    return true;
  });
}

let containers = 0;
/** Each with a name of its own, so that one failing case does not fail the next. */
const container = (more: object = {}): object => ({
  metadata: { name: `c${++containers}`, attempt: 0 },
  image: { image: BUSYBOX },
  command: ["true"],
  ...more,
});

const create = (config: object, podSandboxId = pod): Promise<unknown> =>
  client.CreateContainer({ pod_sandbox_id: podSandboxId, config, sandbox_config: podConfig("bad-input") });

async function nothingPulled(): Promise<void> {
  const { images } = await client.ListImages({});
  assert.equal(images.length, 1, "only the good image is there");
}

// Images

test("an image that the registry does not have", async () => {
  await refused(
    client.PullImage({ image: { image: `${setting.registry.host}/absent:1` } }),
    status.NOT_FOUND,
    /absent/,
  );
  await nothingPulled();
});

test("a registry that does not answer", async () => {
  await refused(
    client.PullImage({ image: { image: "127.0.0.1:1/x:1" } }),
    status.UNAVAILABLE,
    /127\.0\.0\.1:1/,
  );
});

test("a reference that is none", async () => {
  await refused(
    client.PullImage({ image: { image: "Not/A Reference" } }),
    status.INVALID_ARGUMENT,
    /Not\/A Reference/,
  );
  await refused(client.PullImage({ image: { image: "" } }), status.INVALID_ARGUMENT, /image/);
});

test("wrong credentials, and none where some are needed", async () => {
  // user "alice", password "wonderland"
  const htpasswd = "alice:$2y$05$Zho2RgNkC4NNEzo9DITdyuGaLVEZQpq.1xg2A.4GFjJWWvwx5uJwm\n";
  const guarded = await startRegistry(setting.daemon.path("guarded"), htpasswd);
  try {
    const image = { image: `${guarded.host}/a/b:1` };
    const auth = { username: "alice", password: "looking-glass" };
    await refused(client.PullImage({ image }), status.UNAUTHENTICATED, /a\/b/);
    await refused(client.PullImage({ image, auth }), status.UNAUTHENTICATED, /a\/b/);
    assert.doesNotMatch(setting.daemon.log(), /looking-glass/, "no password in the log");
  } finally {
    await guarded.stop();
  }
});

function hostileImage(
  name: string,
  layer: Buffer,
  tamper: { layerDigest?: string; manifest?: Buffer; diffId?: string } = {},
): string {
  const blob = liar.addBlob(layer);
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: [tamper.diffId ?? sha256(layer)] },
    }),
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: liar.addBlob(config),
        size: config.length,
      },
      layers: [
        {
          mediaType: "application/vnd.oci.image.layer.v1.tar",
          digest: tamper.layerDigest ?? blob,
          size: layer.length,
        },
      ],
    }),
  );
  liar.manifests.set(`${name}:1`, { bytes: manifest, mediaType });
  return `${liar.host}/${name}:1`;
}

const layerWith = (...entries: LayerEntry[]): Buffer => tarOf(entries);
const hello: LayerEntry = { path: "hello", type: "File", data: Buffer.from("hello") };

test("a layer whose bytes are not those of its digest", async () => {
  const good = layerWith(hello);
  const evil = layerWith({ ...hello, data: Buffer.from("jello") });
  const image = hostileImage("wrong-layer", good);
  liar.blobs.set(sha256(good), evil);
  await refused(client.PullImage({ image: { image } }), status.DATA_LOSS, /digest/);
  await nothingPulled();
});

test("a layer whose content is not its diffID", async () => {
  const image = hostileImage("wrong-diff", layerWith(hello, { ...hello, path: "other" }), {
    diffId: sha256(Buffer.from("x")),
  });
  await refused(client.PullImage({ image: { image } }), status.DATA_LOSS, /diff/i);
  await nothingPulled();
});

test("a manifest whose bytes are not those of its digest", async () => {
  const image = hostileImage("wrong-manifest", layerWith({ ...hello, path: "m" }));
  const { bytes, mediaType } = liar.manifests.get("wrong-manifest:1") ?? assert.fail();
  const digest = sha256(bytes);
  liar.manifests.set(`wrong-manifest@${digest}`, {
    bytes: Buffer.concat([bytes, Buffer.from(" ")]),
    mediaType,
  });
  await refused(
    client.PullImage({ image: { image: image.replace(":1", `@${digest}`) } }),
    status.DATA_LOSS,
    /digest/,
  );
  await nothingPulled();
});

test("a truncated layer", async () => {
  const raw = layerWith({ ...hello, data: Buffer.alloc(100_000, 7) });
  const image = hostileImage("cut", raw.subarray(0, 50_000));
  await refused(client.PullImage({ image: { image } }), status.INVALID_ARGUMENT, /./);
  await nothingPulled();
});

test("a layer that is no archive, and a gzip that is none", async () => {
  await refused(
    client.PullImage({ image: { image: hostileImage("noise", Buffer.alloc(2048, 0x5a)) } }),
    status.INVALID_ARGUMENT,
    /./,
  );
  const broken = gzipSync(layerWith(hello)).subarray(0, 40);
  await refused(
    client.PullImage({ image: { image: hostileImage("gz", broken) } }),
    status.INVALID_ARGUMENT,
    /./,
  );
  await nothingPulled();
});

for (const [what, entries] of Object.entries<LayerEntry[]>({
  "climbs out": [{ ...hello, path: "../escaped" }],
  "climbs out in the middle": [{ ...hello, path: "a/../../escaped" }],
  "climbs out by a hard link": [{ path: "h", type: "Link", linkpath: "../../../../etc/passwd" }],
})) {
  test(`a layer that ${what}`, async () => {
    const image = hostileImage(what.replaceAll(" ", "-"), layerWith(...entries));
    await refused(client.PullImage({ image: { image } }), status.INVALID_ARGUMENT, /\.\.\//);
    await nothingPulled();
  });
}

test("absolute names and symbolic links stay inside the layer", async () => {
  const marker = `/escaped-${setting.daemon.name}`;
  const { registry, crictl, daemon } = setting;
  const raw = layerWith(
    { ...hello, path: `/absolute${marker}` },
    { path: "link", type: "SymbolicLink", linkpath: "/" },
    { ...hello, path: `link${marker}` },
    { path: "up", type: "SymbolicLink", linkpath: "../../../../../../../.." },
    { ...hello, path: `up${marker}` },
  );
  await pushImage(
    registry.host,
    "links:1",
    [{ blob: gzipSync(raw), digest: sha256(gzipSync(raw)), diffId: sha256(raw) }],
    {},
  );
  const image = `${registry.host}/links:1`;
  await crictl.run("pull", image);
  const { access } = await import("node:fs/promises");
  await assert.rejects(access(marker), "nothing was written to the host's root");
  const inside = (await daemon.filesBelow("root")).filter((path) => path.endsWith(marker));
  assert.equal(inside.length, 2, "in the layer's own root once, and under /absolute");
  await crictl.run("rmi", image);
});

// Pods and containers

test("an unknown runtime handler", async () => {
  await refused(
    client.RunPodSandbox({ config: podConfig("handler"), runtime_handler: "nope" }),
    status.NOT_FOUND,
    /nope/,
  );
});

test("an image that was not pulled", async () => {
  await refused(create(container({ image: { image: "never/pulled:1" } })), status.NOT_FOUND, /never\/pulled/);
});

test("a command that does not exist: create succeeds, start fails, the container is exited", async () => {
  const { container_id: id } = (await create(container({ command: ["/no/such/program"] }))) as {
    container_id: string;
  };
  await refused(
    client.StartContainer({ container_id: id }),
    status.FAILED_PRECONDITION,
    /\/no\/such\/program/,
  );
  const { status: found } = await client.ContainerStatus({ container_id: id });
  assert.deepEqual([found?.state, found?.exit_code, found?.reason], ["CONTAINER_EXITED", 128, "StartError"]);
  await client.RemoveContainer({ container_id: id });
});

test("an image without a command, and none given", async () => {
  await pushImage(
    setting.registry.host,
    "silent:1",
    [
      {
        blob: gzipSync(layerWith(hello)),
        digest: sha256(gzipSync(layerWith(hello))),
        diffId: sha256(layerWith(hello)),
      },
    ],
    {},
  );
  const image = `${setting.registry.host}/silent:1`;
  await client.PullImage({ image: { image } });
  await refused(create(container({ image: { image }, command: [] })), status.INVALID_ARGUMENT, /command/);
  await client.RemoveImage({ image: { image } });
});

test("a host path that does not exist is not created", async () => {
  const path = setting.daemon.path("absent");
  const mounts = [{ container_path: "/mnt", host_path: path }];
  await refused(create(container({ mounts })), status.NOT_FOUND, /absent/);
  const { access } = await import("node:fs/promises");
  await assert.rejects(access(path));
});

test("a user that the image does not have, and an id that fits no kernel", async () => {
  const as = (security: object): object => container({ linux: { security_context: security } });
  await refused(create(as({ run_as_username: "nobody-here" })), status.INVALID_ARGUMENT, /nobody-here/);
  await refused(create(as({ run_as_user: { value: "4294967296" } })), status.INVALID_ARGUMENT, /4294967296/);
  await refused(create(as({ run_as_group: { value: "5" } })), status.INVALID_ARGUMENT, /run_as_group/);
});

test("an unknown capability, signal and seccomp profile", async () => {
  const as = (security: object): object => container({ linux: { security_context: security } });
  await refused(create(as({ capabilities: { add_capabilities: ["FLY"] } })), status.INVALID_ARGUMENT, /FLY/i);
  await refused(create(container({ stop_signal: 999 })), status.INVALID_ARGUMENT, /signal/i);
  const localhost = { profile_type: "Localhost", localhost_ref: "/absent/profile.json" };
  await refused(create(as({ seccomp: localhost })), status.NOT_FOUND, /absent\/profile/);
});

test("a log path that climbs", async () => {
  await refused(create(container({ log_path: "../../etc/x" })), status.INVALID_ARGUMENT, /log/);
});

test("the same name with another configuration", async () => {
  const config = container();
  const { container_id: id } = (await create(config)) as { container_id: string };
  assert.deepEqual(await create(config), { container_id: id }, "the same request gives the same container");
  await refused(create({ ...config, command: ["false"] }), status.ALREADY_EXISTS, new RegExp(id));
  await client.RemoveContainer({ container_id: id });
  await refused(
    client.RunPodSandbox({ config: podConfig("bad-input", { hostname: "other" }) }),
    status.ALREADY_EXISTS,
    new RegExp(pod),
  );
});

test("unknown ids", async () => {
  const id = "0".repeat(64);
  await client.StopPodSandbox({ pod_sandbox_id: id });
  await client.RemovePodSandbox({ pod_sandbox_id: id });
  await client.StopContainer({ container_id: id, timeout: 1 });
  await client.RemoveContainer({ container_id: id });
  await client.RemoveImage({ image: { image: "never/seen:1" } });
  assert.equal((await client.ImageStatus({ image: { image: "never/seen:1" } })).image, null);
  await refused(client.PodSandboxStatus({ pod_sandbox_id: id }), status.NOT_FOUND, /0000/);
  await refused(client.ContainerStatus({ container_id: id }), status.NOT_FOUND, /0000/);
  await refused(client.ContainerStats({ container_id: id }), status.NOT_FOUND, /0000/);
  await refused(client.StartContainer({ container_id: id }), status.NOT_FOUND, /0000/);
  await refused(client.ExecSync({ container_id: id, cmd: ["true"] }), status.NOT_FOUND, /0000/);
  await refused(client.ReopenContainerLog({ container_id: id }), status.NOT_FOUND, /0000/);
  await refused(create(container(), id), status.NOT_FOUND, /0000/);
});

test("empty requests, and messages with parts missing", async () => {
  await refused(client.RunPodSandbox({}), status.INVALID_ARGUMENT, /config/);
  await refused(client.RunPodSandbox({ config: {} }), status.INVALID_ARGUMENT, /metadata/);
  await refused(client.CreateContainer({}), status.INVALID_ARGUMENT, /./);
  await refused(create({}), status.INVALID_ARGUMENT, /metadata/);
  await refused(create({ metadata: { name: "x" } }), status.INVALID_ARGUMENT, /image/);
  await refused(client.PullImage({}), status.INVALID_ARGUMENT, /image/);
  await refused(client.ExecSync({}), status.INVALID_ARGUMENT, /container_id/);
  await refused(client.StartContainer({}), status.INVALID_ARGUMENT, /container_id/);
});

test("calls on a container that does not run", async () => {
  const { container_id: id } = (await create(container())) as { container_id: string };
  await refused(client.ExecSync({ container_id: id, cmd: ["true"] }), status.FAILED_PRECONDITION, /created/);
  await refused(client.ReopenContainerLog({ container_id: id }), status.FAILED_PRECONDITION, /created/);
  await client.StartContainer({ container_id: id });
  await exited(id);
  await refused(client.StartContainer({ container_id: id }), status.FAILED_PRECONDITION, /exited/);
  await refused(client.ExecSync({ container_id: id, cmd: ["true"] }), status.FAILED_PRECONDITION, /exited/);
  await client.RemoveContainer({ container_id: id });
});

async function exited(id: string): Promise<void> {
  for (const end = performance.now() + patient(30_000); performance.now() < end;) {
    const { status: found } = await client.ContainerStatus({ container_id: id });
    if (found?.state === "CONTAINER_EXITED") return;
    await sleep(25);
  }
  throw new Error(`container ${id} did not exit`);
}

test("an exec that outlives its timeout is killed and told as such", async () => {
  const { container_id: id } = (await create(container({ command: ["sleep", "1000"] }))) as {
    container_id: string;
  };
  await client.StartContainer({ container_id: id });
  await refused(
    client.ExecSync({ container_id: id, cmd: ["sleep", "333"], timeout: 1 }),
    status.DEADLINE_EXCEEDED,
    /1 s/,
  );
  const { stdout } = await client.ExecSync({ container_id: id, cmd: ["ps"], timeout: 5 });
  assert.doesNotMatch(stdout.toString(), /sleep 333/);
  await refused(
    client.ExecSync({ container_id: id, cmd: ["/no/such"] }),
    status.FAILED_PRECONDITION,
    /\/no\/such/,
  );
  await client.RemoveContainer({ container_id: id });
});

test("nothing of the refused is left", async () => {
  const { containers } = await client.ListContainers({});
  assert.deepEqual(containers, []);
  const { items } = await client.ListPodSandbox({});
  assert.deepEqual(
    items.map(({ id }) => id),
    [pod],
  );
});
