/** Files, volumes and devices of pods in a user namespace, and what is refused of them. */
import assert from "node:assert/strict";
import { status as code } from "@grpc/grpc-js";
import { execFileSync } from "node:child_process";
import { chown, mkdir, readlink, stat, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { BASE, CONTAINER, MAPPED, MAPPING, NODE, POD, USER, options, own } from "./harness/user-namespace.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

let setting: Setting;
let work: Workload;

before(async () => {
  setting = await makeSetting();
  work = await Workload.begin(setting);
});
after(async () => {
  work?.end();
  await setting?.finish();
});

/** A container in a pod of its own with a user namespace. */
async function inContainer(
  name: string,
  more: object,
  use: (id: string, pod: TestPod) => Promise<void>,
): Promise<void> {
  await work.inPod(name, own(), async (pod) =>
    use(await work.run(pod, "one", FOREVER, { ...own(), ...more }), pod),
  );
}

test("files of the image and of the pod are its own, and stay unmapped in the snapshot", async () => {
  await inContainer("files", {}, async (id) => {
    const paths =
      "/ /bin /bin/sh /etc/hosts /etc/hostname /etc/resolv.conf /dev /dev/shm /dev/pts /dev/mqueue";
    for (const line of (await work.read(id, `stat -c '%n %u %g' ${paths}`)).split("\n"))
      assert.match(line, / 0 0$/, line);
    await work.read(
      id,
      "echo x > /made; chown 7:8 /made; echo '1.2.3.4 x' >> /etc/hosts; echo n > /dev/shm/n; mkfifo /dev/shm/f; rm -r /home; echo x > /dev/null; cat < /dev/zero | head -c 1 > /dev/null",
    );
    const upper = setting.daemon.path("root/snapshots/overlayfs/active", id, "fs");
    const made = await stat(`${upper}/made`);
    assert.deepEqual([made.uid, made.gid], [7, 8]);
    assert.equal((await stat(`${upper}/etc`)).uid, 0);
  });
});

test("volumes have the ids of their mappings", async () => {
  const [mapped, plain, readonly] = ["mapped", "plain", "readonly"].map((name) =>
    setting.daemon.path(`volume-${name}`),
  ) as [string, string, string];
  for (const path of [mapped, plain, readonly]) {
    await mkdir(path);
    await writeFile(`${path}/file`, "text");
    await chown(`${path}/file`, 5, 6);
  }
  const mounts = [
    { container_path: "/mapped", host_path: mapped, ...MAPPED },
    { container_path: "/plain", host_path: plain },
    {
      container_path: "/readonly",
      host_path: readonly,
      readonly: true,
      recursive_read_only: true,
      ...MAPPED,
    },
  ];
  await inContainer("volumes", { mounts }, async (id) => {
    assert.equal(
      await work.read(id, "stat -c '%n %u %g' /*/file"),
      "/mapped/file 5 6\n/plain/file 65534 65534\n/readonly/file 5 6",
    );
    await work.read(id, "echo x > /mapped/new; chown 9:9 /mapped/file");
    assert.deepEqual([(await stat(`${mapped}/new`)).uid, (await stat(`${mapped}/file`)).uid], [0, 9]);
    assert.notEqual((await work.exec(id, "echo x > /plain/new")).exitCode, 0);
    assert.notEqual((await work.exec(id, "echo x > /readonly/new")).exitCode, 0);
  });
});

test("a volume of a pod in the host's user namespace has the ids of its mappings", async () => {
  const path = setting.daemon.path("volume-host");
  await mkdir(path);
  await writeFile(`${path}/file`, "text");
  const ranges = [
    { container_id: 0, host_id: 1000, length: 1 },
    { container_id: 1, host_id: 5000, length: 10 },
  ];
  const mount = { container_path: "/v", host_path: path, uidMappings: ranges, gidMappings: MAPPING };
  await work.inPod("host-ids", options({ pid: CONTAINER }), async (pod) => {
    const more = { ...options({ pid: CONTAINER }), mounts: [mount] };
    const id = await work.run(pod, "one", FOREVER, more);
    assert.equal(
      await work.read(id, "stat -c '%u %g' /v/file; readlink /proc/self/ns/user"),
      `1000 ${BASE}\n${await readlink("/proc/self/ns/user")}`,
    );
    const overlapping = { ...mount, uidMappings: [...ranges, ...ranges] };
    await assert.rejects(work.create(pod, "bad", FOREVER, { mounts: [overlapping] }), {
      code: code.INVALID_ARGUMENT,
      message: /mount "\/v": uid mappings: ranges overlap/,
    });
  });
});

test("a mount that cannot be mapped, and one that the host would see, are refused", async () => {
  await work.inPod("refused", own(), async (pod) => {
    const kernel = { mounts: [{ container_path: "/kernel", host_path: "/sys/kernel", ...MAPPED }] };
    const id = await work.create(pod, "kernel", FOREVER, { ...own(), ...kernel });
    await assert.rejects(work.client.StartContainer({ container_id: id }), {
      code: code.FAILED_PRECONDITION,
      message: /bind \/sys\/kernel on \/kernel: the filesystem of \/sys\/kernel cannot be id-mapped/,
    });
    const path = setting.daemon.path("volume-shared");
    await mkdir(path);
    execFileSync("mount", ["--bind", path, path]);
    execFileSync("mount", ["--make-shared", path]);
    try {
      const shared = { mounts: [{ container_path: "/v", host_path: path, propagation: 2, ...MAPPED }] };
      await assert.rejects(work.create(pod, "shared", FOREVER, { ...own(), ...shared }), {
        code: code.INVALID_ARGUMENT,
        message: /cannot propagate mounts to the host/,
      });
    } finally {
      execFileSync("umount", [path]);
    }
  });
});

test("a device that is asked for is the host's node, under the name that is asked for", async () => {
  const devices = [
    { container_path: "/dev/other/zero", host_path: "/dev/zero", permissions: "rwm" },
    { container_path: "/dev/full", host_path: "/dev/full", permissions: "rwm" },
  ];
  await inContainer("devices", { devices }, async (id) => {
    assert.equal(
      await work.read(id, "head -c 3 /dev/other/zero | wc -c; stat -c %t:%T /dev/other/zero"),
      "3\n1:5",
    );
    assert.match((await work.exec(id, "echo x > /dev/full")).stderr, /No space left/);
  });
});

test("what cannot be, is refused before anything is made", async () => {
  const refuse = async (namespaces: object, message: RegExp): Promise<void> => {
    await assert.rejects(work.pod("bad", options(namespaces)), { code: code.INVALID_ARGUMENT, message });
  };
  const range = (container_id: number, host_id: number, length: number): object => ({
    container_id,
    host_id,
    length,
  });
  await refuse({ userns_options: { mode: POD, uids: MAPPING } }, /gids/);
  await refuse({ userns_options: { mode: POD, uids: [], gids: [] } }, /uids/);
  await refuse({ userns_options: { ...USER, uids: [range(0, 5, 0)] } }, /length/);
  await refuse({ userns_options: { ...USER, gids: [range(1, 5, 10)] } }, /gids/);
  await refuse({ pid: NODE, userns_options: USER }, /not with the host's pid namespace/);
  await refuse({ ipc: NODE, userns_options: USER }, /not with the host's ipc namespace/);
  await work.inPod("pid", own(), async (pod) => {
    await assert.rejects(
      work.create(pod, "host-pid", FOREVER, options({ pid: NODE, userns_options: USER })),
      {
        code: code.INVALID_ARGUMENT,
        message: /not with the host's pid namespace/,
      },
    );
  });
});
