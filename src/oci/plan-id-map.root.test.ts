/** Id-mapped root filesystems and mounts, launched for real. Needs root and a kernel with id-mapped overlays (5.19). */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import { pinNamespaces, unpinNamespaces } from "../native/namespace.ts";
import type { PlanOptions } from "./plan-compile.ts";
import { TestContainer, type Launched } from "./plan-test-container.ts";
import type { IdMapping, Mount, Spec } from "./runtime-spec.ts";

const BASE = 200_000;
const MAPPING: IdMapping[] = [{ containerID: 0, hostID: BASE, size: 65_536 }];
const LATER: IdMapping[] = [{ containerID: 0, hostID: BASE + 1000, size: 1000 }];

/** So long that only mount(2) takes the paths of an overlay below it, as all are taken by kernels before 6.7. */
const DEEP = join("x".repeat(150), "y".repeat(150));

let container: TestContainer;
const directories: string[] = [];

/** In a user namespace of its own, with its root filesystem id-mapped. */
function inUserNamespace(script: string, mounts: Mount[] = [], path?: string): Spec {
  const spec = container.spec(script);
  spec.linux?.namespaces?.push(path === undefined ? { type: "user" } : { type: "user", path });
  Object.assign(spec.linux ?? {}, { uidMappings: MAPPING, gidMappings: MAPPING });
  spec.mounts?.push(...mounts);
  return spec;
}

function volume(name: string, owner: number): string {
  const path = join(container.directory, name);
  mkdirSync(path);
  writeFileSync(join(path, "file"), "text");
  for (const each of [path, join(path, "file")]) chownSync(each, owner, owner);
  return path;
}

/** The layers' common directory is covered by a mount of itself, so nothing else may be in it. */
function layers(place = "snapshot"): Pick<PlanOptions, "rootfs"> {
  const path = (name: string): string => join(container.directory, place, name);
  for (const name of ["upper", "work"]) mkdirSync(path(name), { recursive: true });
  return {
    rootfs: {
      type: "overlay",
      lower: [container.rootfs],
      upper: path("upper"),
      work: path("work"),
      options: [],
    },
  };
}

const mapped = { idMapRootfs: true };
const owner = (path: string): number[] => [statSync(path).uid, statSync(path).gid];
async function output(spec: Spec, more: Partial<PlanOptions> = mapped): Promise<string> {
  const { stdout, stderr, message }: Launched = await container.run(spec, { ...layers(), ...more });
  assert.equal(message, undefined);
  assert.equal(stderr, "");
  return stdout.replaceAll(/ +/g, " ");
}

describe("id maps", () => {
  beforeEach(() => {
    container = new TestContainer();
    directories.push(container.directory);
  });
  afterEach(() => container.dispose());
  after(() => {
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    const left = mounts.filter((line) => directories.some((directory) => line.includes(directory)));
    assert.deepEqual(left, [], "a mount was left on the host");
  });

  const script =
    "cat /proc/self/uid_map /proc/self/gid_map; stat -c '%u %g' / /bin/busybox /dev/null; " +
    "echo new > /new; echo more >> /etc/seed; mkdir /dir; chown 5:6 /dir; rm /tmp/gone; " +
    "stat -c '%u %g' /new /etc/seed /dir; test -e /tmp/gone || echo x > /dev/null";
  const expected = " 0 200000 65536\n 0 200000 65536\n0 0\n0 0\n65534 65534\n0 0\n7 8\n5 6\n";

  for (const [name, rootfs] of [
    ["an overlay", undefined],
    ["a bind mount", "bind"],
  ] as const) {
    test(`the root filesystem of ${name} belongs to the container's root, and stays as it is on disk`, async () => {
      writeFileSync(join(container.rootfs, "etc/seed"), "seed\n", { mode: 0o666 });
      chmodSync(join(container.rootfs, "etc/seed"), 0o666);
      chownSync(join(container.rootfs, "etc/seed"), 7, 8);
      writeFileSync(join(container.rootfs, "tmp/gone"), "");
      const more: Partial<PlanOptions> =
        rootfs === undefined ? {} : { rootfs: { type: "bind", source: container.rootfs, readonly: false } };
      assert.equal(await output(inUserNamespace(script), { ...mapped, ...more }), expected);
      const written = rootfs === undefined ? join(container.directory, "snapshot/upper") : container.rootfs;
      assert.deepEqual(owner(join(written, "new")), [0, 0]);
      assert.deepEqual(owner(join(written, "etc/seed")), [7, 8]);
      assert.deepEqual(owner(join(written, "dir")), [5, 6]);
    });
  }

  test("an overlay that is mounted the older way", async () => {
    const mounts = (await output(inUserNamespace("mount | grep -c ."))).trim();
    const long = join(container.directory, "x".repeat(240));
    mkdirSync(long);
    execFileSync("cp", ["-a", container.rootfs, join(long, "rootfs")]);
    const { rootfs } = layers();
    assert.ok(rootfs.type === "overlay");
    rootfs.lower = [join(long, "rootfs")];
    const spec = inUserNamespace("echo x > /new; stat -c %u / /new; mount | grep -c .");
    assert.equal(await output(spec, { ...mapped, rootfs }), `0\n0\n${mounts}\n`);
    assert.deepEqual(owner(join(container.directory, "snapshot/upper/new")), [0, 0]);
  });

  test("a namespace that exists is joined, and owns the others", async () => {
    const directory = join(container.directory, "ns");
    const made = { directory, net: true, ipc: true, uts: true, hostname: "pod", loopback: true, sysctls: [] };
    await pinNamespaces({ ...made, user: { uids: MAPPING, gids: MAPPING } });
    try {
      const spec = inUserNamespace(
        "readlink /proc/self/ns/user; hostname; hostname renamed; hostname",
        [],
        join(directory, "user"),
      );
      delete spec.hostname;
      for (const [type, file] of [
        ["network", "net"],
        ["ipc", "ipc"],
        ["uts", "uts"],
      ] as const) {
        const namespace = spec.linux?.namespaces?.find((each) => each.type === type);
        assert.ok(namespace);
        namespace.path = join(directory, file);
      }
      const capabilities = ["CAP_SYS_ADMIN"];
      if (spec.process)
        spec.process.capabilities = {
          bounding: capabilities,
          effective: capabilities,
          permitted: capabilities,
        };
      const [user, ...names] = (await output(spec)).trim().split("\n");
      assert.equal(user, `user:[${statSync(join(directory, "user")).ino}]`);
      assert.deepEqual(names, ["pod", "renamed"]);
    } finally {
      await unpinNamespaces(directory);
    }
  });

  test("a volume is mapped as it asks, and only then", async () => {
    const mounts: Mount[] = [
      { destination: "/plain", type: "bind", source: volume("plain", 0), options: ["rbind"] },
      { destination: "/own", source: volume("own", 3), options: ["bind", "idmap"] },
      {
        destination: "/pod",
        type: "bind",
        source: volume("pod", 0),
        options: ["rbind"],
        uidMappings: MAPPING,
        gidMappings: MAPPING,
      },
      {
        destination: "/other",
        type: "bind",
        source: volume("other", 4),
        options: ["rbind", "ro"],
        uidMappings: LATER,
        gidMappings: LATER,
      },
    ];
    const shown =
      "stat -c '%n %u %g' /plain/file /own/file /pod/file /other/file; echo x > /pod/new; stat -c %u /pod/new";
    assert.equal(
      await output(inUserNamespace(shown, mounts)),
      "/plain/file 65534 65534\n/own/file 3 3\n/pod/file 0 0\n/other/file 1004 1004\n0\n",
    );
    assert.deepEqual(owner(join(container.directory, "pod/new")), [0, 0]);
    const { stderr } = await container.run(
      inUserNamespace("echo x > /plain/file; echo x > /other/file", mounts),
      { ...layers(), ...mapped },
    );
    assert.match(stderr, /plain\/file: Permission denied[^]*other\/file: Read-only/);
  });

  for (const classic of [false, true])
    test(`without a user namespace a mount has the ids of its mapping${classic ? ", by mount(2)" : ""}`, async () => {
      const source = volume("data", 0);
      const mapping = { uidMappings: MAPPING, gidMappings: MAPPING };
      const spec = container.spec("stat -c '%u %g' /data/file; readlink /proc/self/ns/user; echo $$");
      spec.mounts?.push({ destination: "/data", type: "bind", source, options: ["rbind"], ...mapping });
      const place = classic ? join(DEEP, "snapshot") : "snapshot";
      const [ids, user, pid] = (await output(spec, layers(place))).split("\n");
      assert.equal(ids, "200000 200000");
      assert.equal(user, `user:[${statSync("/proc/self/ns/user").ino}]`);
      assert.equal(pid, "1");
    });

  test("a tree is mapped whole with ridmap, and its root alone with idmap", async () => {
    const source = volume("tree", 0);
    mkdirSync(join(source, "sub"));
    execFileSync("mount", ["--bind", volume("below", 0), join(source, "sub")]);
    try {
      const mount = (destination: string, option: string): Mount => ({
        destination,
        type: "bind",
        source,
        options: ["rbind", option],
      });
      const mounts = [mount("/whole", "ridmap"), mount("/single", "idmap")];
      const shown = "stat -c '%n %u' /whole/file /whole/sub/file /single/file /single/sub/file";
      assert.equal(
        await output(inUserNamespace(shown, mounts)),
        "/whole/file 0\n/whole/sub/file 0\n/single/file 0\n/single/sub/file 65534\n",
      );
    } finally {
      execFileSync("umount", [join(source, "sub")]);
    }
  });

  test("a path that only the host's root may reach is mounted all the same", async () => {
    const closed = join(container.directory, "closed");
    mkdirSync(closed, { mode: 0o700 });
    writeFileSync(join(closed, "hosts"), "of the pod\n");
    const mounts = [
      { destination: "/etc/hosts", type: "bind", source: join(closed, "hosts"), options: ["rbind"] },
    ];
    assert.equal(await output(inUserNamespace("cat /etc/hosts", mounts)), "of the pod\n");
  });

  test("its streams are its own", async () => {
    assert.equal(await output(inUserNamespace("stat -L -c %u /proc/self/fd/1")), "0\n");
  });

  test("a filesystem that cannot be mapped is told, with the mount", async () => {
    const mounts = [
      { destination: "/kernel", type: "bind", source: "/sys/kernel", options: ["bind", "idmap"] },
    ];
    const { message } = await container.run(inUserNamespace("true", mounts), {
      ...layers(),
      ...mapped,
    });
    assert.equal(
      message,
      "bind /sys/kernel on /kernel: the filesystem of /sys/kernel cannot be id-mapped by this kernel",
    );
    const { message: old } = await container.run(inUserNamespace("true"), {
      ...layers(),
      ...mapped,
      oldKernel: true,
    });
    assert.match(old ?? "", /^mount root filesystem: this kernel has no id-mapped mounts$/);
  });

  test("what is mounted in it does not reach the host", async () => {
    const source = volume("shared", 0);
    execFileSync("mount", ["--bind", source, source]);
    execFileSync("mount", ["--make-shared", source]);
    try {
      mkdirSync(join(source, "sub"));
      const mounts = [{ destination: "/v", type: "bind", source, options: ["rbind", "rshared", "idmap"] }];
      const spec = inUserNamespace("mount -t tmpfs none /v/sub && touch /v/sub/x && ls /v/sub", mounts);
      const capabilities = ["CAP_SYS_ADMIN"];
      if (spec.process)
        spec.process.capabilities = {
          bounding: capabilities,
          effective: capabilities,
          permitted: capabilities,
        };
      const { stdout, stderr } = await container.run(spec, { ...layers(), ...mapped });
      assert.equal(stderr + stdout, "x\n");
      /* Seen while it stands: the container's own mount is gone with it. */
      spec.process!.args = ["sh", "-c", "mount -t tmpfs none /v/sub; echo ready; sleep 1"];
      const running = container.run(spec, { ...layers(), ...mapped });
      for (let i = 0; i < 20; i++) {
        assert.doesNotMatch(readFileSync("/proc/self/mountinfo", "utf8"), /shared\/sub /);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      assert.equal((await running).stdout, "ready\n");
    } finally {
      execFileSync("umount", [source]);
    }
  });

  for (const propagation of ["", "rslave", "rshared"])
    test(`without a user namespace, what is mounted in a volume propagates as rootfsPropagation "${propagation}" says`, async () => {
      const source = volume("shared", 0);
      execFileSync("mount", ["--bind", source, source]);
      execFileSync("mount", ["--make-shared", source]);
      const seen = (): boolean => readFileSync("/proc/self/mountinfo", "utf8").includes(`${source}/sub `);
      try {
        mkdirSync(join(source, "sub"));
        const spec = container.spec("mount -t tmpfs none /v/sub; touch /v/sub/x; ls /v/sub");
        const mapping = { uidMappings: MAPPING, gidMappings: MAPPING };
        spec.mounts?.push({ destination: "/v", type: "bind", source, options: ["rbind"], ...mapping });
        Object.assign(spec.linux ?? {}, { rootfsPropagation: propagation });
        const all = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"];
        if (spec.process) spec.process.capabilities = { bounding: all, effective: all, permitted: all };
        assert.equal(await output(spec, {}), "x\n");
        // A mount that has propagated outlives the namespace that it came from.
        assert.equal(seen(), propagation === "rshared");
      } finally {
        if (seen()) execFileSync("umount", [join(source, "sub")]);
        execFileSync("umount", [source]);
      }
    });
});
