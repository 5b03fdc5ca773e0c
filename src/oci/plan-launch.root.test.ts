/** Containers' first processes, launched for real. Needs root. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { after, beforeEach, afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { shimProgram } from "../native/addon.ts";
import { patient } from "../../test/harness/patience.ts";
import { createCgroupManager } from "./cgroup-manager.ts";
import { compilePlan } from "./plan-compile.ts";
import { launchPlan, TestContainer } from "./plan-test-container.ts";

let container: TestContainer;
/** Of every container here; other tests mount and unmount on the host meanwhile. */
const directories: string[] = [];

describe("launching a container", () => {
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

  test("has namespaces, hostname and process tree of its own", async () => {
    const types = ["pid", "net", "ipc", "uts", "mnt", "user"];
    const script = `for t in ${types.join(" ")}; do readlink /proc/self/ns/$t; done; hostname; echo $$`;
    const { stdout, status } = await container.run(container.spec(script));
    const lines = stdout.trim().split("\n");
    for (const [index, type] of types.entries()) {
      const isHost = lines[index] === readlinkSync(`/proc/self/ns/${type}`);
      assert.equal(isHost, type === "user", type);
    }
    assert.deepEqual([...lines.slice(-2), status], ["box", "1", 0]);
  });

  test("a root that hooks can see stays out of the host's mounts, even where those are shared", async () => {
    const shared = join(container.directory, "shared");
    mkdirSync(shared);
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", shared]);
    try {
      execFileSync("mount", ["--make-rshared", shared]);
      const target = join(shared, "bundle/rootfs");
      mkdirSync(target, { recursive: true });
      const seen = join(container.directory, "seen");
      const spec = container.spec("true", {}, { rootfsPropagation: "rshared" });
      const look = (name: string) => `cat /proc/self/mountinfo > ${seen}-${name}`;
      const hook = (name: string) => ({ path: "/bin/sh", args: ["sh", "-c", look(name)] });
      spec.hooks = { createRuntime: [hook("host")], createContainer: [hook("container")] };
      const { message } = await container.run(spec, { rootfsTarget: target });
      assert.equal(message, undefined);
      assert.ok(readFileSync(`${seen}-container`, "utf8").includes(` ${target} `));
      assert.ok(!readFileSync(`${seen}-host`, "utf8").includes(target));
      assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(target));
    } finally {
      execFileSync("umount", ["-R", "-l", shared]);
    }
  });

  for (const oldKernel of [false, true])
    test(`volumes of the host's root mount propagate as asked${oldKernel ? ", on an old kernel" : ""}`, () => {
      const volume = join(container.directory, "volume");
      for (const name of ["both", "private", "host"]) mkdirSync(join(volume, name), { recursive: true });
      const all = ["CAP_SYS_ADMIN"];
      const spec = container.spec(
        "for name in both private; do mount -t tmpfs tmpfs /$name/$name; done; ls -d /*/host/note",
        { capabilities: { bounding: all, effective: all, permitted: all } },
        { rootfsPropagation: "rshared" },
      );
      for (const [name, word] of Object.entries({ both: "rshared", slave: "rslave", private: "rprivate" }))
        spec.mounts?.push({
          destination: `/${name}`,
          type: "bind",
          source: volume,
          options: ["rbind", word],
        });
      const later = `mount -t tmpfs tmpfs ${volume}/host && touch ${volume}/host/note`;
      spec.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", later], env: ["PATH=/bin"] }] };
      // As on a host whose root is shared, in a mount namespace of the test's own.
      const plan = join(container.directory, "plan");
      writeFileSync(plan, compilePlan(spec, container.options({ oldKernel })));
      const script = `mount --make-rshared / &&
        ${shimProgram} launch --wait --plan-fd 3 --result-fd 4 3<${plan} 4>${plan}.result &&
        grep -o '${volume}/[a-z]*' /proc/self/mountinfo`;
      const launched = spawnSync("unshare", ["-m", "--propagation", "private", "sh", "-c", script]);
      const text = launched.stdout.toString();
      assert.equal(
        text,
        `/both/host/note\n/slave/host/note\n${volume}/host\n${volume}/both\n`,
        launched.stderr.toString(),
      );
    });

  test("the host's root directory as a volume is the host's, not the container's", async () => {
    writeFileSync(join(container.directory, "note"), "");
    for (const oldKernel of [false, true])
      for (const propagation of ["rprivate", "rslave", "rshared"]) {
        const note = join("/host", container.directory, "note");
        const spec = container.spec(`ls ${note}; touch ${note}`, {}, { rootfsPropagation: propagation });
        const options = ["rbind", propagation, "ro"];
        spec.mounts?.push({ destination: "/host", type: "bind", source: "/", options });
        const { stdout, stderr } = await container.run(spec, { oldKernel });
        assert.equal(stdout, `${note}\n`, stderr);
        assert.match(stderr, /Read-only file system/);
      }
  });

  test("a tmpfs may begin with what it covers", async () => {
    const directory = join(container.rootfs, "var/lib");
    mkdirSync(join(directory, "deep/er"), { recursive: true });
    writeFileSync(join(directory, "deep/file"), "content\n", { mode: 0o604 });
    chownSync(join(directory, "deep/file"), 12, 34);
    utimesSync(join(directory, "deep/file"), 1000, 2000);
    chmodSync(join(directory, "deep/er"), 0o1711);
    symlinkSync("/etc/passwd", join(directory, "link"));
    execFileSync("mkfifo", [join(directory, "fifo")]);
    for (const access of ["rw", "ro"]) {
      const look =
        "cd /var/lib; ls; stat -c '%a %u %g %Y %F' deep/file deep/er fifo; cat deep/file; readlink link";
      const spec = container.spec(
        `${look}; touch new && ls new; grep -c ' /var/lib tmpfs ${access}' /proc/mounts`,
      );
      const options = ["tmpcopyup", "nosuid", access];
      spec.mounts?.push({ destination: "/var/lib", type: "tmpfs", source: "tmpfs", options });
      const { stdout, message } = await container.run(spec);
      assert.equal(message, undefined);
      const seen = "deep\nfifo\nlink\n604 12 34 2000 regular file\n1711 0 0 ";
      assert.ok(stdout.startsWith(seen), stdout);
      assert.match(stdout, new RegExp(`fifo\ncontent\n/etc/passwd\n${access === "rw" ? "new\n" : ""}1\n$`));
    }
    assert.equal(existsSync(join(directory, "new")), false);
    const spec = container.spec("true");
    spec.mounts?.push({ destination: "/x", type: "bind", source: "/tmp", options: ["rbind"] });
    spec.mounts?.push({ destination: "/y", type: "ramfs", source: "x", options: ["tmpcopyup"] });
    assert.throws(() => container.run(spec), /mount on \/y: tmpcopyup is for a tmpfs/);
  });

  test("mounts what is asked for, with its options, and nothing of the host's is left", async () => {
    const spec = container.spec("mount");
    const source = join(container.directory, "data");
    mkdirSync(join(source, "sub"), { recursive: true });
    spec.mounts?.push(
      { destination: "/data/deep", type: "bind", source, options: ["rbind", "ro", "nosuid", "rprivate"] },
      {
        destination: "/scratch",
        type: "tmpfs",
        source: "tmpfs",
        options: ["size=64k", "noatime", "mode=1777"],
      },
    );
    const { stdout, message } = await container.run(spec);
    assert.equal(message, undefined);
    const options = new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => /on (\S+) type (\S+) \((.*)\)/.exec(line)?.slice(1) ?? [])
        .map(([path, type, list]) => [path, [type, ...(list ?? "").split(",")]]),
    );
    const expected = ["/", "/data/deep", "/dev", "/dev/pts", "/proc", "/scratch", "/sys"];
    const hidden = /^\/proc\/|^\/sys\//;
    assert.deepEqual(
      [...options.keys()]
        .filter((path): path is string => path !== undefined && !hidden.test(path))
        .toSorted((a, b) => (a < b ? -1 : 1)),
      expected,
    );
    assert.equal(options.get("/")?.[0], "overlay");
    assert.ok(["ro", "nosuid"].every((option) => options.get("/data/deep")?.includes(option)));
    assert.ok(["noatime", "size=64k"].every((option) => options.get("/scratch")?.includes(option)));
    assert.ok(options.get("/sys")?.includes("ro"));
  });

  test("works the same in the ways of old kernels", async () => {
    const spec = container.spec(
      "cat /f; touch /f 2>&1; touch /bin/x 2>&1; cat /proc/sys/kernel/ostype; echo 1 > /proc/sys/kernel/ostype",
    );
    const file = join(container.directory, "file");
    writeFileSync(file, "content\n");
    spec.root = { path: "rootfs", readonly: true };
    spec.mounts?.push({ destination: "/f", type: "bind", source: file, options: ["bind", "ro"] });
    const { stdout, message, stderr } = await container.run(spec, { oldKernel: true });
    assert.equal(message, undefined);
    assert.match(stdout, /^content\ntouch: \/f: Read-only.*\ntouch: \/bin\/x: Read-only.*\nLinux\n$/);
    assert.match(stderr, /Read-only file system/);
  });

  test("uses a bind as the root filesystem, read-only if asked", async () => {
    const rootfs = { type: "bind", source: container.rootfs, readonly: true } as const;
    const { stdout } = await container.run(container.spec("touch /x 2>&1 || echo refused"), { rootfs });
    assert.match(stdout, /refused/);
    const writable = await container.run(container.spec("touch /x && echo done"), {
      rootfs: { ...rootfs, readonly: false },
    });
    assert.equal(writable.stdout, "done\n");
    assert.equal(readFileSync(join(container.rootfs, "x"), "utf8"), "");
  });

  test("gives exactly the capabilities that are asked for, to root and to others", async () => {
    for (const uid of [0, 1000]) {
      const script =
        "grep Cap /proc/self/status | cut -f2 | head -n 5 || true; grep -E '^(Uid|Gid|Groups|NoNewPrivs)' /proc/self/status; umask";
      const spec = container.spec(script.replace("| cut -f2 ", ""), {
        user: { uid, gid: uid, additionalGids: [7, 9], umask: 0o027 },
        noNewPrivileges: true,
      });
      const { stdout, message } = await container.run(spec);
      assert.equal(message, undefined);
      const field = (name: string): string | undefined =>
        new RegExp(`^${name}:\\s*(.*?)\\s*$`, "m").exec(stdout)?.[1];
      const zero = "0000000000000000";
      const asked = "0000000000000421";
      /* Without uid 0, an exec keeps only what is ambient. */
      const kept = uid === 0 ? asked : zero;
      assert.deepEqual(["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(field), [
        zero,
        kept,
        kept,
        asked,
        zero,
      ]);
      assert.equal(field("Groups"), "7 9");
      assert.equal(field("Uid"), `${uid}\t${uid}\t${uid}\t${uid}`);
      assert.equal(field("NoNewPrivs"), "1");
      assert.match(stdout, /0027/);
    }
  });

  test("gives ambient capabilities to a user who is not root", async () => {
    const one = ["CAP_NET_BIND_SERVICE"];
    const capabilities = { bounding: one, effective: one, permitted: one, inheritable: one, ambient: one };
    const { stdout } = await container.run(
      container.spec("grep CapEff /proc/self/status", { user: { uid: 5, gid: 5 }, capabilities }),
    );
    assert.match(stdout, /0000000000000400/);
  });

  test("hides masked paths and protects read-only ones", async () => {
    const script =
      "cat /proc/interrupts | wc -c; ls /sys/firmware | wc -l; (echo 1 > /proc/sys/vm/overcommit_memory) 2>&1; (echo x > /proc/interrupts) && echo null";
    const { stdout } = await container.run(container.spec(script));
    assert.match(stdout, /^0\n0\n.*Read-only file system\nnull\n$/s);
  });

  test("sets limits, sysctls and the oom score", async () => {
    const spec = container.spec(
      "ulimit -n; ulimit -H -n; cat /proc/self/oom_score_adj; cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
      {
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 99, hard: 100 }],
        oomScoreAdj: 321,
      },
      { sysctl: { "net.ipv4.ip_unprivileged_port_start": "17" } },
    );
    const { stdout } = await container.run(spec);
    assert.equal(stdout, "99\n100\n321\n17\n");
  });

  test("leaves the command only its three streams, and more if asked", async () => {
    const { stdout } = await container.run(container.spec("ls /proc/self/fd"));
    assert.deepEqual(stdout.trim().split("\n"), ["0", "1", "2", "3"], "3 is ls's own");
    const plan = compilePlan(
      container.spec("ls /proc/self/fd; cat <&4"),
      container.options({ preserveFds: 2 }),
    );
    const path = join(container.directory, "kept");
    writeFileSync(path, "kept");
    const files = [openSync(path, "r"), openSync(path, "r")];
    const kept = await launchPlan(plan, ["--wait"], "", files);
    for (const file of files) closeSync(file);
    assert.equal(kept.stdout, "0\n1\n2\n3\n4\n5\nkept");
  });

  test("makes the working directory, and follows links inside the root only", async () => {
    symlinkSync("/../../../../away/there", join(container.rootfs, "link"));
    const { stdout } = await container.run(container.spec("pwd", { cwd: "/link/below" }));
    assert.equal(stdout, "/away/there/below\n");
    assert.throws(() => readFileSync("/away"), { code: "ENOENT" });
  });

  test("enters a directory that only the user may", async () => {
    const home = join(container.rootfs, "home");
    mkdirSync(home);
    execFileSync("chown", ["1000:1000", home]);
    chmodSync(home, 0o700);
    const user = { uid: 1000, gid: 1000 };
    const { stdout } = await container.run(container.spec("pwd", { cwd: "/home", user, capabilities: {} }));
    assert.equal(stdout, "/home\n");
  });

  test("runs in the cgroups it is given, from the start", async () => {
    const manager = createCgroupManager();
    const v2 = manager.version === "v2";
    const group = await manager.create(`/gantry-plan-${process.pid}`, {});
    try {
      const place = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
      const spec = container.spec(`cat /proc/self/cgroup; ls ${place}; mount | grep ' ${place} '`);
      spec.linux?.namespaces?.push({ type: "cgroup" });
      spec.mounts?.push({ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"] });
      const cgroup = group.entries();
      const { stdout, message } = await container.run(spec, { cgroup });
      assert.equal(message, undefined);
      const hierarchies = v2 ? [] : [/pids:\/\n/, /memory:\/\n/];
      if (cgroup.unifiedDirectory !== undefined) hierarchies.push(/0::\/\n/);
      for (const root of hierarchies) assert.match(stdout, root, "its cgroup is the namespace's root");
      assert.match(stdout, /pids.max/);
      assert.match(stdout, /\(ro,/);
    } finally {
      await group.remove(AbortSignal.timeout(patient(10_000)));
    }
  });

  test("makes a user namespace with its maps", async () => {
    const spec = container.spec(
      "id -u; cat /proc/self/uid_map /proc/self/gid_map; stat -c %t:%T /dev/null; ulimit -n; echo x > /dev/null",
      {
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 64, hard: 64 }],
      },
    );
    spec.linux?.namespaces?.push({ type: "user" });
    const mapping = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    Object.assign(spec.linux ?? {}, { uidMappings: mapping, gidMappings: mapping });
    chmodSync(container.directory, 0o755);
    execFileSync("chown", ["-R", "100000:100000", container.rootfs]);
    const rootfs = { type: "bind", source: container.rootfs, readonly: false } as const;
    const { stdout, message } = await container.run(spec, { rootfs });
    assert.equal(message, undefined);
    assert.equal(stdout.replaceAll(/ +/g, " "), "0\n 0 100000 65536\n 0 100000 65536\n1:3\n64\n");
  });

  test("runs hooks where they belong, with the state", async () => {
    const log = join(container.directory, "log");
    const hook = (name: string): { path: string; args: string[]; env: string[] } => ({
      path: "/bin/sh",
      args: ["sh", "-c", `(echo ${name} $FROM; cat; echo; readlink /proc/self/ns/mnt) >> ${log}`],
      env: ["FROM=hook"],
    });
    const spec = container.spec("cat /hook");
    const created = hook("createContainer");
    spec.hooks = {
      prestart: [hook("prestart")],
      createRuntime: [hook("createRuntime")],
      createContainer: [created],
      startContainer: [{ path: "/bin/sh", args: ["sh", "-c", "cat > /hook"] }],
    };
    const { stdout, message, pid } = await container.run(spec, { hookState: { id: "c1", bundle: "/b" } });
    assert.equal(message, undefined);
    const lines = readFileSync(log, "utf8").trim().split("\n");
    assert.deepEqual(
      [lines[0], lines[3], lines[6]],
      ["prestart hook", "createRuntime hook", "createContainer hook"],
    );
    assert.deepEqual(JSON.parse(lines[1] ?? ""), { id: "c1", bundle: "/b", status: "created", pid });
    // In the container's namespaces the pid is the container's.
    assert.deepEqual(JSON.parse(lines[7] ?? ""), { id: "c1", bundle: "/b", status: "created", pid: 1 });
    assert.equal(lines[2], readlinkSync("/proc/self/ns/mnt"));
    assert.notEqual(lines[8], lines[2]);
    assert.match(stdout, /"status":"created","pid":\d+\}$/);
  });

  test("passes signals on and reports how the process ended", async () => {
    assert.equal((await container.run(container.spec("exit 7"))).status, 7);
    assert.equal(
      (await container.run(container.spec("kill -KILL $$; sleep 1", {}, { namespaces: [{ type: "mount" }] })))
        .status,
      137,
    );
  });

  test("dies with its launcher if it shall, whoever it has become", async () => {
    for (const user of [
      { uid: 0, gid: 0 },
      { uid: 1000, gid: 1000 },
    ]) {
      const plan = compilePlan(container.spec("echo $$; exec sleep 1000", { user }), container.options());
      const args = ["launch", "--plan-fd", "3", "--result-fd", "4", "--wait", "--die-together"];
      const launcher = spawn(shimProgram, args, { stdio: ["ignore", "pipe", "ignore", "pipe", "pipe"] });
      const result = once(launcher.stdio[4] as Readable, "data");
      const output = once(launcher.stdio[1] as Readable, "data");
      (launcher.stdio[3] as Writable).end(plan);
      const pid = ((await result)[0] as Buffer).readInt32LE(4);
      await output;
      assert.ok(existsSync(`/proc/${pid}`));
      launcher.kill("SIGKILL");
      for (let tries = 0; existsSync(`/proc/${pid}`); tries++) {
        assert.ok(tries < patient(1000), "the process is gone");
        await sleep(25);
      }
    }
  });
});
