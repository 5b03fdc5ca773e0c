/**
 * What is mounted for a pod in a user namespace, with each snapshotter: volumes out of images, what the host mounts later,
 * devices of CDI with their hooks, and terminals.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { directory, file, layerOf, pushImage } from "./harness/image-builder.ts";
import { BUSYBOX, makeSetting, type Setting } from "./harness/setting.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

const MODEL = "registry.k8s.io/model:1";
const BASE = 310_000;
const MAPPING = [{ container_id: 0, host_id: BASE, length: 65_536 }];
const USER = { mode: 0, uids: MAPPING, gids: MAPPING };
const mapped = { linux: { security_context: { namespace_options: { pid: 1, userns_options: USER } } } };

for (const snapshotter of ["overlayfs", "copy"]) {
  describe(`in a user namespace, with the snapshotter ${snapshotter}`, () => {
    let setting: Setting;
    let work: Workload;
    let pod: TestPod;
    let image = "";

    before(async () => {
      setting = await makeSetting();
      const { daemon } = setting;
      await daemon.stop();
      await mkdir(daemon.path("conf.d"));
      await mkdir(daemon.path("cdi"));
      await writeFile(daemon.path("conf.d/test.toml"), `[images]\nsnapshotter = "${snapshotter}"\n`);
      await daemon.run();
      work = await Workload.begin(setting);
      const entries = [directory("data"), file("data/weights", "heavy")];
      await pushImage(setting.registry.host, "model:1", [layerOf(entries)], {});
      image = (await work.client.PullImage({ image: { image: MODEL } })).image_ref;
      pod = await work.pod("mounts", mapped);
    });
    after(async () => {
      work?.end();
      await setting?.finish();
    });

    let count = 0;
    const run = (more: object = {}, command = FOREVER): Promise<string> =>
      work.run(pod, `c${++count}`, command, { ...mapped, ...more });

    test("the image's files are the container's root's, and what it writes is unmapped on disk", async () => {
      const id = await run();
      const script =
        "stat -c %u / /bin/sh; echo x > /new; chown 5 /new; mv /etc/passwd /etc/moved; stat -c %u /etc/moved";
      assert.equal(await work.read(id, script), "0\n0\n0");
      const written = setting.daemon.path("root/snapshots", snapshotter, "active", id, "fs/new");
      assert.equal((await stat(written)).uid, 5);
    });

    test("a volume out of an image is readable, and its files are its root's", async () => {
      const volume = (container_path: string, image_sub_path: string): object => ({
        container_path,
        image_sub_path,
        image: { image, user_specified_image: MODEL },
        readonly: true,
        uidMappings: MAPPING,
        gidMappings: MAPPING,
      });
      const id = await run({ mounts: [volume("/model", ""), volume("/weights", "data/weights")] });
      const script =
        "cat /model/data/weights /weights; stat -c ' %u %g' /model/data /weights; echo x > /weights";
      const { stdout, stderr } = await work.exec(id, script);
      assert.equal(stdout, "heavyheavy 0 0\n 0 0\n");
      assert.match(stderr, /Read-only/);
      // The image that the container itself is made of.
      const same = { container_path: "/same", image: { image: BUSYBOX }, readonly: true };
      assert.equal(await work.read(await run({ mounts: [same] }), "stat -c %u /same/bin/sh /bin/sh"), "0\n0");
    });

    test("what the host mounts on a volume later shows, and what the container mounts does not", async () => {
      const path = setting.daemon.path("volume");
      await mkdir(`${path}/sub`, { recursive: true });
      execFileSync("mount", ["--bind", path, path]);
      execFileSync("mount", ["--make-shared", path]);
      try {
        const mount = { container_path: "/volume", host_path: path, propagation: 1 };
        const maps = { uidMappings: MAPPING, gidMappings: MAPPING };
        const namespace_options = { pid: 1, userns_options: USER };
        const capabilities = { add_capabilities: ["SYS_ADMIN"] };
        const id = await run({
          mounts: [{ ...mount, ...maps }],
          linux: { security_context: { namespace_options, capabilities } },
        });
        execFileSync("mount", ["-t", "tmpfs", "none", `${path}/sub`]);
        await writeFile(`${path}/sub/late`, "late");
        assert.equal(await work.read(id, "cat /volume/sub/late"), "late");
        await work.read(id, "umount /volume/sub");
        assert.equal(readFileSync(`${path}/sub/late`, "utf8"), "late", "unmounted for the container only");
        execFileSync("umount", [`${path}/sub`]);
        await work.read(id, "mount -t tmpfs none /volume/sub");
        assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(`${path}/sub `));
      } finally {
        execFileSync("umount", ["-l", path]);
      }
    });

    test("a device of CDI and its hook", async () => {
      const hooks = [{ hookName: "createRuntime", path: "/bin/true" }];
      const deviceNodes = [{ path: "/dev/thing", hostPath: "/dev/full", permissions: "rw" }];
      const devices = [{ name: "one", containerEdits: { deviceNodes, hooks } }];
      const cdi = { cdiVersion: "1.1.0", kind: "example.com/thing", devices };
      await writeFile(setting.daemon.path("cdi/thing.json"), JSON.stringify(cdi));
      const id = await run({ CDI_devices: [{ name: "example.com/thing=one" }] });
      assert.match((await work.exec(id, "echo > /dev/thing")).stderr, /No space left/);
    });

    test("a terminal is its root's", async () => {
      const id = await run({ tty: true }, [
        "sh",
        "-c",
        "stat -c '%u %g' $(tty); stat -c %u /dev/console; sleep 1000",
      ]);
      const log = setting.daemon.path("logs", `c${count}.log`);
      for (let attempt = 0; !/ \d+\r?\n.* 0\r?\n/.test(await text(log)); attempt++) {
        assert.ok(attempt < 500, await text(log));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.match(await text(log), / 0 5\r?\n.* 0\r?\n$/);
      assert.equal((await stat(log)).uid, 0);
      const said = await setting.crictl.run("exec", id, "sh", "-c", "id -u; cat /proc/self/uid_map");
      assert.equal(said.replaceAll(/\s+/g, " "), `0 0 ${BASE} 65536`);
    });
  });
}

const text = async (path: string): Promise<string> => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};
