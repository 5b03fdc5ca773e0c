/** Volumes out of images, through the CRI: what is in them, how long they last, and what is refused. */
import assert from "node:assert/strict";
import { status as code } from "@grpc/grpc-js";
import { after, before, test } from "node:test";
import { busyboxEntries } from "./harness/fixture-images.ts";
import { directory, file, layerOf, pushImage } from "./harness/image-builder.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

const MODEL = "registry.k8s.io/model:1";

let setting: Setting;
let work: Workload;
let pod: TestPod;
let imageId = "";

before(async () => {
  setting = await makeSetting({ network: "none" });
  work = await Workload.begin(setting);
  pod = await work.pod("volumes", { linux: { security_context: { namespace_options: { pid: 1 } } } });
  const layers = [
    layerOf([directory("data"), file("data/weights", "old"), file("data/gone", "x")]),
    layerOf([
      file("data/weights", "new"),
      file("data/.wh.gone", ""),
      { path: "inside", type: "SymbolicLink", linkpath: "/data" },
      { path: "outside", type: "SymbolicLink", linkpath: "../../../../../../etc" },
    ]),
  ];
  await pushImage(setting.registry.host, "model:1", layers, {});
  await pull();
});
after(async () => {
  work?.end();
  await setting?.finish();
});

async function pull(): Promise<void> {
  imageId = (await work.client.PullImage({ image: { image: MODEL } })).image_ref;
}

function volume(container_path: string, more: object = {}): object {
  return { container_path, image: { image: imageId, user_specified_image: MODEL }, readonly: true, ...more };
}

let count = 0;
const run = (...mounts: object[]): Promise<string> => work.run(pod, `v${++count}`, FOREVER, { mounts });

test("layers are merged, whiteouts apply, nothing can be written, and the status names the image", async () => {
  const id = await run(
    volume("/model"),
    volume("/weights", { image_sub_path: "data/weights" }),
    volume("/linked", { image_sub_path: "inside" }),
  );
  const script = "cat /model/data/weights /weights /linked/weights; ls /model/data; echo x > /weights";
  const { stdout, stderr } = await work.exec(id, script);
  assert.equal(stdout, "newnewnewweights\n");
  assert.match(stderr, /Read-only/);
  const { status } = await work.client.ContainerStatus({ container_id: id });
  assert.deepEqual(
    status?.mounts.map((mount) => [mount.container_path, mount.readonly, mount.image?.image_ref]),
    ["/model", "/weights", "/linked"].map((path) => [path, true, imageId]),
  );
  assert.equal(status?.mounts[1]?.image_sub_path, "data/weights");
});

test("volumes stay when the daemon is killed and when the image is removed; then their layers go", async () => {
  const { daemon } = setting;
  const running = await run(volume("/model"));
  const created = await work.create(pod, "later", FOREVER, { mounts: [volume("/model")] });
  await work.client.RemoveImage({ image: { image: imageId } });
  await daemon.kill();
  await daemon.run();
  assert.equal(await work.read(running, "cat /model/data/weights"), "new");
  await work.client.StartContainer({ container_id: created });
  assert.equal(await work.read(created, "cat /model/data/weights"), "new");
  const { status } = await work.client.ContainerStatus({ container_id: created });
  assert.equal(status?.mounts[0]?.image?.image_ref, imageId);
  await assert.rejects(run(volume("/model")), { code: code.NOT_FOUND });
  for (const container_id of [running, created]) await work.client.RemoveContainer({ container_id });
  await pull();
  assert.equal(await work.read(await run(volume("/model")), "cat /model/data/weights"), "new");
});

test("a volume that an image declares is a directory that can be written, whether the image has it or not", async () => {
  const layer = layerOf([...(await busyboxEntries()), directory("here"), file("here/file", "of the image")]);
  const Volumes = { "/here": {}, "/not/here": {}, "/proc/x": {}, "../../../up": {} };
  const settings = { Cmd: FOREVER, Volumes };
  await pushImage(setting.registry.host, "declared:1", [layer], settings);
  const image = "registry.k8s.io/declared:1";
  await work.client.PullImage({ image: { image } });
  const id = await work.run(pod, "declared", FOREVER, { image: { image } });
  assert.equal(
    await work.read(id, "cat /here/file; touch /here/x /not/here/x && ls /not/here"),
    "of the imagex",
  );
});

test("a refused volume names what is wrong, and leaves no container", async () => {
  const mounts: [object, number, RegExp][] = [
    [
      volume("/m", { image: { image: "registry.k8s.io/none:1" } }),
      code.NOT_FOUND,
      /ImageVolumeMountFailed: mount "\/m": image .* not found/,
    ],
    [volume("/m", { image_sub_path: "data/gone" }), code.NOT_FOUND, /mount "\/m": .*no path "data\/gone"/],
    [volume("/m", { image_sub_path: "outside/passwd" }), code.NOT_FOUND, /no path/],
    [volume("/m", { image_sub_path: "a/../.." }), code.INVALID_ARGUMENT, /image_sub_path/],
    [volume("/m", { readonly: false }), code.INVALID_ARGUMENT, /readonly is false/],
    [volume("/m", { host_path: "/srv" }), code.INVALID_ARGUMENT, /host_path/],
    [volume("/m", { mount_options: ["rw"] }), code.INVALID_ARGUMENT, /option "rw"/],
    [volume("/m", { mount_options: ["lowerdir=/"] }), code.INVALID_ARGUMENT, /option "lowerdir=\/"/],
    [volume("/proc/sys"), code.INVALID_ARGUMENT, /procfs/],
    [volume("/m", { propagation: 2 }), code.INVALID_ARGUMENT, /propagation/],
  ];
  const before = (await work.client.ListContainers({})).containers.length;
  for (const [mount, expected, message] of mounts)
    await assert.rejects(run(mount), (error: Error & { code: number }) => {
      assert.match(error.message, message);
      assert.equal(error.code, expected, error.message);
      return true;
    });
  assert.equal((await work.client.ListContainers({})).containers.length, before);
});
