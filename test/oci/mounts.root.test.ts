/** Mounts of gantry-oci's containers: every option of the specification, as the container sees it. Needs root. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Mount } from "../../src/oci/runtime-spec.ts";
import { ShellBundle } from "./shell-bundle.ts";

const bundle = new ShellBundle();
const host = join(bundle.base, "host");
mkdirSync(join(host, "below"), { recursive: true });
writeFileSync(join(host, "file"), "from the host\n");
run("mount", ["-t", "tmpfs", "below", join(host, "below")]);
writeFileSync(join(host, "below/deep"), "deep\n");

after(async () => {
  run("umount", [join(host, "below")]);
  await bundle.end();
});

function run(command: string, args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** Attributes of the mount, of its filesystem, and its propagation, as mountinfo has them in the container. */
interface Seen {
  own: string[];
  propagation: string[];
  type: string;
  filesystem: string[];
}

function mountOf(text: string, place: string): Seen {
  const line = text.split("\n").findLast((candidate) => candidate.split(" ")[4] === place);
  assert.ok(line, `${place} is not in\n${text}`);
  const [before = "", after = ""] = line.split(" - ");
  const fields = before.split(" ");
  const [type = "", , filesystem = ""] = after.split(" ");
  return {
    own: (fields[5] ?? "").split(","),
    propagation: fields.slice(6).map((word) => word.replace(/:.*/, "")),
    type,
    filesystem: filesystem.split(","),
  };
}

/** How a mount on /m looks from inside. */
function seen(mount: Partial<Mount>, place = "/m", more: Mount[] = []): Seen {
  const outcome = bundle.shell("cat /proc/self/mountinfo", [
    ...more,
    { destination: "/m", type: "tmpfs", source: "tmpfs", ...mount },
  ]);
  assert.equal(outcome.code, 0, outcome.err);
  return mountOf(outcome.out, place);
}

const BIND = { type: "bind", source: host };

test("attributes of a new filesystem", () => {
  const some = seen({ options: ["ro", "nosuid", "nodev", "noexec", "nosymfollow", "noatime", "nodiratime"] });
  for (const word of ["ro", "nosuid", "nodev", "noexec", "nosymfollow", "noatime", "nodiratime"])
    assert.ok(some.own.includes(word), `${word} in ${some.own.join()}`);
  const lifted = [..."ro nosuid nodev noexec nosymfollow nodiratime".split(" ")];
  const undone = seen({
    options: [...lifted, "rw", "suid", "dev", "exec", "symfollow", "diratime", "noatime", "relatime"],
  });
  assert.deepEqual(undone.own, ["rw", "relatime"]);
  assert.deepEqual(seen({ options: ["strictatime"] }).own, ["rw"]);
  assert.deepEqual(seen({ options: ["strictatime", "nostrictatime"] }).own, ["rw", "relatime"]);
  for (const word of ["atime", "norelatime", "defaults", "async", "loud", "silent", "iversion", "noiversion"])
    assert.deepEqual(seen({ options: [word] }).own, ["rw", "relatime"], word);
});

test("what belongs to the filesystem, and its parameters", () => {
  const synchronous = seen({ options: ["sync", "dirsync", "lazytime", "mand", "size=64k", "mode=0711"] });
  for (const word of ["sync", "dirsync", "lazytime", "size=64k", "mode=711"])
    assert.ok(synchronous.filesystem.includes(word), `${word} in ${synchronous.filesystem.join()}`);
  const undone = seen({ options: ["sync", "async", "lazytime", "nolazytime", "nomand"] });
  assert.ok(!undone.filesystem.includes("sync") && !undone.filesystem.includes("lazytime"));
  assert.match(
    bundle.shell("true", [{ destination: "/m", type: "tmpfs", options: ["size=enormous"] }]).err,
    /mount tmpfs on \/m: fsconfig.*Bad value for 'size'/,
  );
  assert.match(
    bundle.shell("true", [{ destination: "/m", type: "tmpfs", options: [`size=${"1".repeat(300)}`] }]).err,
    /mount on \/m: option \\"size\\" is longer than 255 bytes/,
  );
  assert.match(
    bundle.shell("true", [{ destination: "/m", type: "nonsense" }]).err,
    /mount nonsense on \/m: fsopen.*no such device/,
  );
  assert.match(bundle.shell("true", [{ destination: "/m" }]).err, /mount on \/m has no type/);
});

test("filesystems with parameters of their own", () => {
  const devpts = seen({ type: "devpts", options: ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] });
  assert.deepEqual([devpts.type, devpts.filesystem.includes("gid=5")], ["devpts", true]);
  const proc = seen({ type: "proc", source: "proc", options: ["hidepid=2"] });
  assert.ok(proc.filesystem.includes("hidepid=invisible"), proc.filesystem.join());
  assert.equal(seen({ type: "mqueue", options: ["nosuid"] }).type, "mqueue");
  assert.equal(seen({ type: "sysfs", options: ["ro"] }).type, "sysfs");
  const layers = Array.from({ length: 12 }, (_, number) =>
    join(bundle.base, `layer-with-a-long-name-${number}`),
  );
  layers.forEach((path, number) => {
    mkdirSync(path);
    writeFileSync(join(path, `file${number}`), "");
  });
  mkdirSync(join(bundle.base, "upper"));
  mkdirSync(join(bundle.base, "work"));
  const overlay = {
    destination: "/m",
    type: "overlay",
    options: [
      `lowerdir=${layers.join(":")}`,
      `upperdir=${join(bundle.base, "upper")}`,
      `workdir=${join(bundle.base, "work")}`,
    ],
  };
  const outcome = bundle.shell("ls /m | grep -c file; touch /m/new", [overlay]);
  assert.deepEqual([outcome.out, outcome.code], ["12\n", 0], outcome.err);
  run("test", ["-e", join(bundle.base, "upper/new")]);
});

test("bind mounts: of a directory, with or without what is below, a file, a socket, a fifo and a device", async () => {
  const look = "ls /m/below; cat /f; test -S /s && test -p /p && test -c /d && echo special";
  run("mkfifo", [join(host, "fifo")]);
  const server = createServer().listen(join(host, "socket"));
  await new Promise((resolve) => server.once("listening", resolve));
  const mounts: Mount[] = [
    { destination: "/f", ...BIND, source: join(host, "file"), options: ["bind", "ro"] },
    { destination: "/s", ...BIND, source: join(host, "socket") },
    { destination: "deep/../p", ...BIND, source: join(host, "fifo") },
    { destination: "/d", source: "/dev/null", options: ["bind"] },
  ];
  const whole = bundle.shell(look, [{ destination: "/m", ...BIND, options: ["rbind"] }, ...mounts]);
  assert.equal(whole.out, "deep\nfrom the host\nspecial\n", whole.err);
  const alone = bundle.shell(look, [{ destination: "/m", ...BIND, options: ["bind"] }, ...mounts]);
  assert.equal(alone.out, "from the host\nspecial\n");
  server.close();
  mkdirSync(join(bundle.bundle, "volume"));
  writeFileSync(join(bundle.bundle, "volume/here"), "");
  const relative = bundle.shell("ls /m", [{ destination: "/m", type: "bind", source: "volume" }]);
  assert.equal(relative.out, "here\n", relative.err);
  assert.match(
    bundle.shell("true", [{ destination: "/m", ...BIND, source: join(host, "missing") }]).err,
    /bind .*missing on \/m: .*no such file/,
  );
});

test("mounts on files and directories that must be made, through links of the image, and nowhere else", () => {
  mkdirSync(join(bundle.rootfs, "real"), { recursive: true });
  symlinkSync("/real", join(bundle.rootfs, "link"));
  symlinkSync("../../../../../../../../tmp", join(bundle.rootfs, "out"));
  const outcome = bundle.shell("cat /real/a/b/file; ls -d /tmp/into", [
    { destination: "/link/a/b/file", ...BIND, source: join(host, "file") },
    { destination: "/out/into", type: "tmpfs" },
  ]);
  assert.equal(outcome.out, "from the host\n/tmp/into\n", outcome.err);
  assert.notEqual(spawnSync("test", ["-e", "/tmp/into"]).status, 0);
  const device = bundle.shell("echo x > /over; cat /over", [
    { destination: "/over", ...BIND, source: join(host, "file"), options: ["ro"] },
  ]);
  assert.match(device.err, /Read-only file system/);
});

test("recursive attributes, and those that are not", () => {
  const only = seen({ ...BIND, options: ["rbind", "ro", "nosuid"] }, "/m/below");
  assert.ok(only.own.includes("rw") && !only.own.includes("nosuid"), only.own.join());
  const words = ["ro", "nosuid", "nodev", "noexec", "nosymfollow", "noatime", "nodiratime"];
  const all = seen({ ...BIND, options: ["rbind", ...words.map((word) => `r${word}`)] }, "/m/below");
  for (const word of words) assert.ok(all.own.includes(word), `${word} in ${all.own.join()}`);
  const undo = ["rrw", "rsuid", "rdev", "rexec", "rsymfollow", "ratime", "rdiratime", "rrelatime"];
  const lifted = seen(
    { ...BIND, options: ["rbind", ...words.map((word) => `r${word}`), ...undo] },
    "/m/below",
  );
  assert.deepEqual(lifted.own, ["rw", "relatime"]);
  for (const word of ["rstrictatime", "rnorelatime", "rnostrictatime"])
    assert.ok(seen({ ...BIND, options: ["rbind", word] }, "/m/below").own.includes("rw"), word);
});

test("propagation of a mount", () => {
  const shared = join(bundle.base, "shared");
  mkdirSync(shared);
  run("mount", ["-t", "tmpfs", "shared", shared]);
  try {
    run("mount", ["--make-shared", shared]);
    const cases: Record<string, string[]> = {
      private: [],
      rprivate: [],
      slave: ["master"],
      rslave: ["master"],
      unbindable: ["unbindable"],
      runbindable: ["unbindable"],
    };
    for (const [word, propagation] of Object.entries(cases))
      assert.deepEqual(
        seen({ ...BIND, source: shared, options: ["rbind", word] }).propagation,
        propagation,
        word,
      );
    for (const word of ["shared", "rshared"])
      assert.ok(
        seen({ ...BIND, source: shared, options: ["rbind", word] }).propagation.includes("shared"),
        word,
      );
  } finally {
    run("umount", [shared]);
  }
});

test("remount changes what is mounted already: its attributes, and the filesystem", () => {
  const before: Mount = { destination: "/m", type: "tmpfs", options: ["nosuid", "size=1m"] };
  const changed = seen({ options: ["remount", "ro", "noexec", "size=2m"] }, "/m", [before]);
  assert.deepEqual(changed.own.toSorted(), ["noexec", "nosuid", "relatime", "ro"]);
  assert.ok(changed.filesystem.includes("size=2048k"), changed.filesystem.join());
  const bound: Mount = { destination: "/m", ...BIND, options: ["rbind", "ro"] };
  assert.ok(seen({ options: ["remount", "bind", "rw", "nodev"] }, "/m", [bound]).own.includes("nodev"));
  assert.ok(seen({ options: ["remount", "rnoexec"] }, "/m/below", [bound]).own.includes("noexec"));
  assert.match(
    bundle.shell("true", [{ destination: "/nowhere", options: ["remount", "ro"] }]).err,
    /remount \/nowhere: .*no such file/,
  );
});

test("tmpcopyup begins with what is covered, and is for a tmpfs", () => {
  mkdirSync(join(bundle.rootfs, "full/below"), { recursive: true });
  writeFileSync(join(bundle.rootfs, "full/below/file"), "kept\n");
  const outcome = bundle.shell("cat /full/below/file; touch /full/new", [
    { destination: "/full", type: "tmpfs", options: ["tmpcopyup"] },
  ]);
  assert.deepEqual([outcome.out, outcome.code], ["kept\n", 0], outcome.err);
  assert.match(
    bundle.shell("true", [{ destination: "/full", type: "mqueue", options: ["tmpcopyup"] }]).err,
    /tmpcopyup is for a tmpfs, not for mqueue/,
  );
});

test("id-mapped mounts by mappings of their own, and of one mount or of the tree", () => {
  const mappings = [{ containerID: 0, hostID: 1000, size: 10 }];
  const mapped = (option: string): Mount => ({
    destination: "/m",
    ...BIND,
    options: ["rbind", option],
    uidMappings: mappings,
    gidMappings: mappings,
  });
  const owners = "stat -c %u /m/file /m/below/deep";
  assert.equal(bundle.shell(owners, [mapped("ridmap")]).out, "1000\n1000\n");
  assert.equal(bundle.shell(owners, [mapped("idmap")]).out, "1000\n0\n");
  assert.match(
    bundle.shell("true", [{ destination: "/m", ...BIND, options: ["idmap"] }]).err,
    /needs mappings/,
  );
});

test("a cgroup mount shows the container's own groups, with and without a cgroup namespace", () => {
  const mount: Mount = { destination: "/sys/fs/cgroup", type: "cgroup", options: ["ro", "nosuid"] };
  const look =
    "for d in /sys/fs/cgroup/* /sys/fs/cgroup; do test -e $d/cgroup.procs && cat $d/cgroup.procs; done";
  for (const own of [true, false]) {
    const { out, err } = bundle.shell(`${look}; touch /sys/fs/cgroup/new`, [], (spec) => {
      spec.mounts = [...(spec.mounts ?? []).filter(({ type }) => type !== "cgroup"), mount];
      if (!spec.linux) return;
      spec.linux.namespaces = (spec.linux.namespaces ?? []).filter(({ type }) => type !== "cgroup");
      if (own) spec.linux.namespaces.push({ type: "cgroup" });
    });
    assert.match(out, /^1$/m, err);
    assert.match(err, /Read-only file system/);
  }
});

test("a mount of type cgroup2 beside v1 is the container's directory of it", (t) => {
  if (!existsSync("/sys/fs/cgroup/unified/cgroup.procs"))
    return t.skip("this host has no hybrid layout of cgroups");
  const { out, err } = bundle.shell("cat /m/cgroup.procs; ls -d /m/cpu", [
    { destination: "/m", type: "cgroup2", options: ["ro"] },
  ]);
  assert.match(out, /^1$/m, err);
  assert.match(err, /\/m\/cpu: No such file/);
});

test("a read-only root, masked and read-only paths", () => {
  mkdirSync(join(bundle.rootfs, "secret"), { recursive: true });
  writeFileSync(join(bundle.rootfs, "secret/file"), "secret");
  writeFileSync(join(bundle.rootfs, "plain"), "secret");
  mkdirSync(join(bundle.rootfs, "fixed"), { recursive: true });
  const script = "touch /x; touch /fixed/x; ls /secret; cat /plain; touch /t/ok && echo writable";
  const { out, err } = bundle.shell(script, [{ destination: "/t", type: "tmpfs" }], (spec) => {
    spec.root = { path: "rootfs", readonly: true };
    Object.assign(spec.linux ?? {}, {
      maskedPaths: ["/secret", "/plain", "/not/there"],
      readonlyPaths: ["/fixed", "/not/there/either"],
    });
  });
  assert.equal(out, "writable\n", err);
  assert.equal(err.match(/Read-only file system/g)?.length, 2, err);
});

test("rootfsPropagation, in both forms", () => {
  const cases: Record<string, string[]> = {
    shared: ["shared"],
    rshared: ["shared"],
    private: [],
    rprivate: [],
    unbindable: ["unbindable"],
    runbindable: ["unbindable"],
  };
  for (const [word, propagation] of Object.entries(cases)) {
    const { out, err } = bundle.shell("cat /proc/self/mountinfo", [], (spec) => {
      if (spec.linux) spec.linux.rootfsPropagation = word;
    });
    assert.deepEqual(out === "" ? err : mountOf(out, "/").propagation, propagation, word);
  }
});

test("a root filesystem that is a slave gets what the host mounts in it", async () => {
  const shared = join(bundle.base, "propagating");
  mkdirSync(shared);
  run("mount", ["-t", "tmpfs", "propagating", shared]);
  try {
    run("mount", ["--make-shared", shared]);
    run("cp", ["-a", bundle.rootfs, join(shared, "rootfs")]);
    mkdirSync(join(shared, "rootfs/later"));
    bundle.script("until test -e /later/there; do sleep 0.05; done; echo seen", (spec) => {
      spec.root = { path: join(shared, "rootfs") };
      if (spec.linux) spec.linux.rootfsPropagation = "rslave";
    });
    assert.equal(bundle.create("slave").code, 0, bundle.output("slave", "err"));
    assert.equal(bundle.oci(["start", "slave"]).code, 0);
    run("mount", ["-t", "tmpfs", "later", join(shared, "rootfs/later")]);
    writeFileSync(join(shared, "rootfs/later/there"), "");
    await bundle.becomes("slave", "stopped");
    assert.equal(bundle.output("slave"), "seen\n");
  } finally {
    bundle.oci(["delete", "--force", "slave"]);
    run("umount", ["-R", shared]);
  }
});

test("the host's mounts stay as they were, and a label without SELinux is no error", () => {
  const mounts = (): string[] =>
    readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(bundle.base));
  const before = mounts();
  const { code, err } = bundle.shell(
    "true",
    [{ destination: "/m", ...BIND, options: ["rbind", "rslave"] }],
    (spec) => {
      if (spec.linux) spec.linux.mountLabel = "system_u:object_r:container_file_t:s0:c1,c2";
    },
  );
  assert.equal(code, 0, err);
  assert.deepEqual(mounts(), before);
});
