/** Namespaces, mappings, devices, user, working directory and root of gantry-oci's containers. Needs root. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Device, IdMapping, NamespaceType, Spec } from "../../src/oci/runtime-spec.ts";
import { ShellBundle } from "./shell-bundle.ts";

const bundle = new ShellBundle();
after(() => bundle.end());

const FILES = {
  pid: "pid",
  network: "net",
  mount: "mnt",
  ipc: "ipc",
  uts: "uts",
  user: "user",
  cgroup: "cgroup",
  time: "time",
} as const;
const TYPES = Object.keys(FILES) as NamespaceType[];
const LOOK = `for n in ${Object.values(FILES).join(" ")}; do readlink /proc/self/ns/$n; done`;

const place = (pid: number | string, type: NamespaceType): string => `/proc/${pid}/ns/${FILES[type]}`;

/** Configures exactly these namespaces. */
function namespaces(spec: Spec, list: { type: NamespaceType; path?: string }[]): void {
  if (!spec.linux) return;
  spec.linux.namespaces = list;
  if (!list.some(({ type }) => type === "uts")) delete spec.hostname;
  // Not every filesystem can be mounted anew in a namespace that is another's.
  spec.mounts = (spec.mounts ?? []).filter(({ type }) => type === "proc" || type === "tmpfs");
}

const MAPPED: IdMapping[] = [
  { containerID: 0, hostID: 100_000, size: 1000 },
  { containerID: 1000, hostID: 200_000, size: 500 },
  { containerID: 1500, hostID: 0, size: 1 },
];

function mapped(spec: Spec): void {
  if (spec.linux) Object.assign(spec.linux, { uidMappings: MAPPED, gidMappings: MAPPED });
}

test("each type is new when asked for, and the runtime's when not", () => {
  for (const type of TYPES) {
    const { out, err } = bundle.shell(LOOK, [], (spec) => {
      const list: NamespaceType[] = type === "mount" ? ["mount"] : ["mount", type];
      namespaces(
        spec,
        list.map((name) => ({ type: name })),
      );
      if (type === "user") mapped(spec);
      // Of the host's PID namespace where there is no new one, and mounted by who may.
      if (type === "user")
        spec.mounts = [{ destination: "/proc", type: "bind", source: "/proc", options: ["rbind"] }];
    });
    const found = out.trim().split("\n");
    for (const [index, other] of TYPES.entries()) {
      const isNew = other === type || other === "mount";
      assert.equal(found[index] !== readlinkSync(place("self", other)), isNew, `${type}: ${other} ${err}`);
    }
  }
});

test("each type is joined by path", async () => {
  const flags = [
    "--kill-child",
    "--net",
    "--ipc",
    "--uts",
    "--user",
    "--map-root-user",
    "--cgroup",
    "--time",
    "--mount",
    "--pid",
  ];
  const holder = spawn("unshare", [...flags, "--fork", "sh", "-c", "echo ready; exec sleep 300"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await once(holder.stdout, "data");
    const child = spawnSync("cat", [`/proc/${holder.pid}/task/${holder.pid}/children`], { encoding: "utf8" });
    const pid = child.stdout.trim();
    for (const type of TYPES.filter((name) => name !== "mount" && name !== "user")) {
      const { out, err } = bundle.shell(LOOK, [], (spec) =>
        namespaces(spec, [{ type: "mount" }, { type, path: place(pid, type) }]),
      );
      assert.equal(
        out.trim().split("\n")[TYPES.indexOf(type)],
        readlinkSync(place(pid, type)),
        `${type}: ${err}`,
      );
    }
    const both = bundle.shell(LOOK, [], (spec) => {
      namespaces(spec, [
        { type: "mount" },
        { type: "pid" },
        { type: "uts", path: place(pid, "uts") },
        { type: "user", path: place(pid, "user") },
      ]);
    });
    const found = both.out.trim().split("\n");
    for (const type of ["user", "uts"] as const)
      assert.equal(found[TYPES.indexOf(type)], readlinkSync(place(pid, type)), both.err);
  } finally {
    holder.kill("SIGKILL");
    await once(holder, "exit");
  }
});

test("a path of another type, one that is none, and a type that is there twice are errors", () => {
  const refused = (list: { type: NamespaceType; path?: string }[]): string =>
    bundle.shell("true", [], (spec) => namespaces(spec, [{ type: "mount" }, ...list])).err;
  assert.match(
    refused([{ type: "network", path: "/proc/self/ns/uts" }]),
    /join namespace \/proc\/self\/ns\/uts: .*invalid/,
  );
  assert.match(
    refused([{ type: "uts", path: "/etc/hosts" }]),
    /join namespace \/etc\/hosts: .*invalid argument/,
  );
  assert.match(refused([{ type: "ipc", path: "/nowhere" }]), /join namespace \/nowhere: .*no such file/);
  assert.match(
    refused([{ type: "ipc" }, { type: "ipc" }]),
    /linux\.namespaces\.2: \\?"ipc\\?" is there twice/,
  );
  assert.match(refused([{ type: "user" }]), /user namespace needs uidMappings and gidMappings/);
  assert.deepEqual(bundle.containers(), []);
});

test("mappings of several ranges, and what they allow", () => {
  spawnSync("chown", ["-R", "100000:100000", bundle.rootfs]);
  try {
    const script =
      "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; cat /proc/self/setgroups; id -u; id -g; touch /own; stat -c %u /own; test -c /dev/null && echo null > /dev/null; ls -ln /dev/zero | tr -s ' ' | cut -d' ' -f3";
    const { out, err } = bundle.shell(script, [], (spec) => {
      spec.linux?.namespaces?.push({ type: "user" });
      mapped(spec);
      spec.root = { path: "rootfs" };
      if (spec.process) spec.process.user = { uid: 0, gid: 0, additionalGids: [1200, 5] };
    });
    const map = " 0 100000 1000\n 1000 200000 500\n 1500 0 1\n";
    assert.equal(out, `${map}${map}allow\n0\n0\n0\n1500\n`, err);
    const unmapped = bundle.shell("true", [], (spec) => {
      spec.linux?.namespaces?.push({ type: "user" });
      mapped(spec);
      if (spec.process) spec.process.user = { uid: 5000, gid: 0 };
    });
    assert.match(unmapped.err, /set user 5000:0: .*invalid argument/);
    const double = bundle.shell("true", [], (spec) => {
      spec.linux?.namespaces?.push({ type: "user" });
      const overlap = [...MAPPED, { containerID: 10, hostID: 7, size: 3 }];
      if (spec.linux) Object.assign(spec.linux, { uidMappings: overlap, gidMappings: overlap });
    });
    assert.match(double.err, /uid_map: .*invalid argument/);
  } finally {
    spawnSync("chown", ["-R", "0:0", bundle.rootfs]);
    rmSync(join(bundle.rootfs, "own"), { force: true });
  }
});

test("the configuration of a rootless engine works for root, too", () => {
  const { out, err } = bundle.shell("id -u; cat /proc/self/uid_map | tr -s ' '", [], (spec) => {
    const sys = {
      destination: "/sys",
      type: "none",
      source: "/sys",
      options: ["rbind", "nosuid", "noexec", "nodev", "ro"],
    };
    spec.mounts = [...(spec.mounts ?? []).filter(({ destination }) => !destination.startsWith("/sys")), sys];
    for (const mount of spec.mounts)
      mount.options = mount.options?.filter((option) => option !== "gid=5") ?? [];
    if (!spec.linux) return;
    spec.linux.namespaces = (["pid", "ipc", "uts", "mount", "user", "cgroup"] as const).map((type) => ({
      type,
    }));
    const mappings = [{ containerID: 0, hostID: 0, size: 1 }];
    Object.assign(spec.linux, { uidMappings: mappings, gidMappings: mappings });
    delete spec.linux.resources;
  });
  assert.equal(out, "0\n 0 0 1\n", err);
});

const seen = (path: string): string => `stat -c '%F %a %u:%g %t:%T' ${path}`;

test("devices of every type, with numbers, permissions and owners", () => {
  const devices: Device[] = [
    { type: "c", path: "/dev/c", major: 10, minor: 200, fileMode: 0o640, uid: 11, gid: 12 },
    { type: "u", path: "/dev/u", major: 1, minor: 5 },
    { type: "b", path: "/deep/down/b", major: 7, minor: 3, fileMode: 0o600 },
    { type: "p", path: "/dev/p", fileMode: 0o622, major: 3, minor: 4 },
  ];
  const { out, err } = bundle.shell(devices.map(({ path }) => seen(path)).join(";"), [], (spec) => {
    if (spec.linux) spec.linux.devices = devices;
  });
  assert.equal(
    out,
    "character special file 640 11:12 a:c8\ncharacter special file 666 0:0 1:5\n" +
      "block special file 600 0:0 7:3\nfifo 622 0:0 0:0\n",
    err,
  );
});

test("a node that is there must be the one that is asked for", () => {
  spawnSync("mknod", [join(bundle.rootfs, "node"), "c", "1", "3"]);
  writeFileSync(join(bundle.rootfs, "other"), "");
  const ask = (path: string): { out: string; err: string } =>
    bundle.shell(seen("/node"), [], (spec) => {
      if (spec.linux) spec.linux.devices = [{ type: "c", path, major: 1, minor: 3 }];
    });
  assert.match(ask("/node").out, /^character special file 6\d\d 0:0 1:3$/m);
  assert.match(ask("/other").err, /make device \/other: .*file already exists/);
});

test("default devices and links, and the bind of the host's node in a user namespace", () => {
  const script =
    "for d in null zero full random urandom tty; do stat -c '%n %t:%T' /dev/$d; done;" +
    "for l in fd stdin stdout stderr ptmx; do echo $l $(readlink /dev/$l); done";
  const expected =
    "/dev/null 1:3\n/dev/zero 1:5\n/dev/full 1:7\n/dev/random 1:8\n/dev/urandom 1:9\n/dev/tty 5:0\n" +
    "fd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\nstderr /proc/self/fd/2\nptmx pts/ptmx\n";
  for (const user of [false, true]) {
    const { out, err } = bundle.shell(script, [], (spec) => {
      if (!user) return;
      spec.linux?.namespaces?.push({ type: "user" });
      const mappings = [{ containerID: 0, hostID: 0, size: 10 }];
      if (spec.linux) Object.assign(spec.linux, { uidMappings: mappings, gidMappings: mappings });
    });
    assert.equal(out, expected, err);
  }
});

test("user, groups, umask and a working directory that must be made", () => {
  const { out, err } = bundle.shell(
    "id -u; id -g; id -G; umask; pwd; touch /tmp/x; stat -c %a /tmp/x",
    [{ destination: "/tmp", type: "tmpfs", options: ["mode=1777"] }],
    (spec) => {
      if (!spec.process) return;
      spec.process.user = { uid: 1001, gid: 1002, additionalGids: [7, 8], umask: 0o27 };
      spec.process.cwd = "/made/for/it";
    },
  );
  assert.equal(out, "1001\n1002\n1002 7 8\n0027\n/made/for/it\n640\n", err);
  const file = bundle.shell("true", [], (spec) => {
    if (spec.process) spec.process.cwd = "/bin/busybox";
  });
  assert.match(file.err, /working directory \/bin\/busybox: .*not a directory/);
  mkdirSync(join(bundle.rootfs, "closed"), { recursive: true });
  chmodSync(join(bundle.rootfs, "closed"), 0o700);
  const closed = bundle.shell("pwd", [], (spec) => {
    if (spec.process) Object.assign(spec.process, { cwd: "/closed", user: { uid: 1001, gid: 1001 } });
  });
  assert.equal(closed.out, "/closed\n", closed.err);
});

test("a root path that is relative, absolute, or a link", () => {
  symlinkSync(bundle.rootfs, join(bundle.bundle, "link"));
  symlinkSync("rootfs", join(bundle.bundle, "short"));
  for (const path of ["rootfs", "./rootfs/../rootfs/", bundle.rootfs, "link", "short"]) {
    const { out, err } = bundle.shell("ls -d /bin", [], (spec) => {
      spec.root = { path };
    });
    assert.equal(out, "/bin\n", `${path}: ${err}`);
  }
  symlinkSync("loop", join(bundle.bundle, "loop"));
  for (const [path, message] of [
    ["nowhere", /root\.path: .*nowhere: no such file/],
    ["config.json", /is not a directory/],
    ["loop", /root\.path: .*loop: .*(ELOOP|symbolic links)/],
  ] as const) {
    const { err } = bundle.shell("true", [], (spec) => {
      spec.root = { path };
    });
    assert.match(err, message);
  }
  assert.deepEqual(bundle.containers(), []);
});

test("delete refuses a container that is created, running or paused", () => {
  bundle.script("sleep 300");
  assert.equal(bundle.create("kept").code, 0);
  assert.match(bundle.oci(["delete", "kept"]).err, /not stopped: created/);
  assert.equal(bundle.oci(["start", "kept"]).code, 0);
  assert.match(bundle.oci(["delete", "kept"]).err, /not stopped: running/);
  assert.equal(bundle.oci(["pause", "kept"]).code, 0);
  assert.match(bundle.oci(["delete", "kept"]).err, /not stopped: paused/);
  assert.deepEqual(bundle.containers(), ["kept"]);
  assert.equal(bundle.oci(["delete", "--force", "kept"]).code, 0);
});
