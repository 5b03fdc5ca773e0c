/** The classes of attacks on container runtimes that a root filesystem or a configuration can try. Needs root. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { shimProgram } from "../native/addon.ts";
import { TestContainer } from "./plan-test-container.ts";

let container: TestContainer;

/** A directory of the host's that nothing of the container may reach. */
function outside(): string {
  const path = join(container.directory, "outside");
  mkdirSync(path);
  return path;
}

function replace(path: string, target: string): void {
  rmSync(join(container.rootfs, path), { recursive: true, force: true });
  symlinkSync(target, join(container.rootfs, path));
}

describe("a hostile root filesystem", () => {
  beforeEach(() => {
    container = new TestContainer();
  });
  afterEach(() => container.dispose());

  test("cannot redirect /dev to the host (CVE-2026-41579)", async () => {
    const path = outside();
    for (const target of [path, `../../../../../../../..${path}`]) {
      replace("dev", target);
      const rootfs = { type: "bind", source: container.rootfs, readonly: false } as const;
      await container.run(container.spec("true"), { rootfs });
      assert.deepEqual(readdirSync(path), []);
    }
  });

  test("cannot have /proc or /sys elsewhere (CVE-2019-19921, CVE-2023-28642)", async () => {
    for (const [name, index] of [
      ["proc", 0],
      ["sys", 3],
    ] as const) {
      replace(name, "/tmp");
      const { error, message } = await container.run(container.spec("true"));
      assert.equal(message, `mount ${name === "sys" ? "sysfs" : name} on /${name}: openat2: ELOOP`);
      assert.ok(error && error.operation > index);
      rmSync(join(container.rootfs, name));
      mkdirSync(join(container.rootfs, name));
    }
  });

  test("cannot lead a mount out of the root (CVE-2019-18837, CVE-2021-30465)", async () => {
    const path = outside();
    replace("volume", path);
    const spec = container.spec(`cat ${path}/file /volume/file`);
    const source = join(container.directory, "source");
    mkdirSync(source);
    writeFileSync(join(source, "file"), "inside\n");
    spec.mounts?.push({ destination: "/volume", type: "bind", source, options: ["rbind"] });
    const { stdout, message } = await container.run(spec);
    assert.equal(message, undefined);
    assert.equal(stdout, "inside\ninside\n");
    assert.deepEqual(readdirSync(path), []);
  });

  test("cannot have a mount cover procfs (CVE-2019-16884)", async () => {
    const source = join(container.directory, "source");
    mkdirSync(source);
    writeFileSync(join(source, "exec"), "mine\n");
    const bind = (target: string, from: string) => {
      const spec = container.spec("cat /proc/uptime");
      spec.mounts?.push({ destination: target, type: "bind", source: from, options: ["rbind"] });
      return container.run(spec);
    };
    symlinkSync("/proc/self/attr", join(container.rootfs, "innocent"));
    for (const [target, from] of [
      ["/proc/self/attr", source],
      ["/innocent", source],
      ["/proc/sys/kernel/core_pattern", join(source, "exec")],
      ["/proc/sys", source],
    ] as const) {
      const { message } = await bind(target, from);
      assert.match(message ?? "", /mount on procfs.*: EPERM$/, target);
    }
    assert.equal((await bind("/proc/uptime", join(source, "exec"))).stdout, "mine\n");
  });

  test("may have dangling links where a file is mounted", async () => {
    symlinkSync("../run/resolve/stub.conf", join(container.rootfs, "etc/resolv.conf"));
    const source = join(container.directory, "resolv.conf");
    writeFileSync(source, "nameserver\n");
    const spec = container.spec("cat /etc/resolv.conf /run/resolve/stub.conf");
    spec.mounts?.push({ destination: "/etc/resolv.conf", type: "bind", source, options: ["bind", "ro"] });
    const { stdout, message } = await container.run(spec);
    assert.equal(message, undefined);
    assert.equal(stdout, "nameserver\nnameserver\n");
    const loop = container.spec("true");
    symlinkSync("loop", join(container.rootfs, "etc/loop"));
    loop.mounts?.push({ destination: "/etc/loop/file", type: "bind", source, options: ["bind"] });
    assert.match((await container.run(loop)).message ?? "", /ELOOP/);
  });

  test("cannot have its working directory in a descriptor (CVE-2024-21626)", async () => {
    for (let fd = 3; fd < 12; fd++) {
      const { message } = await container.run(container.spec("pwd", { cwd: `/proc/self/fd/${fd}` }));
      assert.match(message ?? "", /working directory|make directory/);
    }
    const link = await container.run(container.spec("pwd", { cwd: "/proc/self/cwd" }));
    assert.match(link.message ?? "", /ELOOP|EXDEV/);
  });

  test("cannot mask with something else than the null device (CVE-2025-31133)", async () => {
    const rootfs = { type: "bind", source: container.rootfs, readonly: false } as const;
    const spec = container.spec("true");
    const dev = join(container.directory, "dev");
    mkdirSync(dev);
    symlinkSync("/proc/sys/kernel/core_pattern", join(dev, "null"));
    spec.mounts = (spec.mounts ?? [])
      .map((mount) =>
        mount.destination === "/dev"
          ? { destination: "/dev", type: "bind", source: dev, options: ["bind"] }
          : mount,
      )
      .filter((mount) => mount.destination !== "/dev/pts");
    const link = await container.run(spec, { rootfs });
    assert.match(link.message ?? "", /^mask \/proc\/\w+: openat2 \/dev\/null: ELOOP$/);
    rmSync(join(dev, "null"));
    writeFileSync(join(dev, "null"), "");
    const file = await container.run(spec, { rootfs });
    assert.match(file.message ?? "", /\/dev\/null: ENODEV$/);
  });

  test("cannot write to the runtime's program (CVE-2019-5736)", async () => {
    const before = readFileSync(shimProgram);
    writeFileSync(join(container.rootfs, "bin/script"), "#!/proc/self/exe\n", { mode: 0o755 });
    for (const command of ["/proc/self/exe", "/bin/script"]) {
      await container.run(container.spec([command, "launch", "--check", "--plan-fd", "0"]));
    }
    /* While a hook runs, its parent is the runtime's program, seen in the container's own /proc. */
    const script = "exec 3</proc/$PPID/exe; dd if=/dev/zero of=/proc/self/fd/3 count=1 2>/out; true";
    const spec = container.spec("cat /out");
    spec.hooks = { startContainer: [{ path: "/bin/sh", args: ["sh", "-c", script] }] };
    const { stdout } = await container.run(spec);
    assert.match(stdout, /Read-only file system/);
    assert.ok(readFileSync(shimProgram).equals(before));
  });

  test("finds no descriptor and no mount of the host", async () => {
    const { stdout } = await container.run(
      container.spec("ls -l /proc/1/fd; ls /..; cat /proc/self/mountinfo | wc -l"),
    );
    assert.ok(!stdout.includes("launch") && !stdout.includes(container.directory));
    assert.ok(!existsSync(join(container.rootfs, "..", "proc")));
  });
});
