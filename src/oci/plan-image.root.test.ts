/** Image volumes, mounted for real, with the kernel's newer and older ways. Needs root. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { shimProgram } from "../native/addon.ts";
import { compilePlan, type PlanRootfs } from "./plan-compile.ts";
import { TestContainer } from "./plan-test-container.ts";

let container: TestContainer;
let images: Map<string, PlanRootfs>;

/** Two layers, of which the upper one replaces a file; and the same as one directory. */
function makeImages(): Map<string, PlanRootfs> {
  const path = (...parts: string[]): string => join(container.directory, ...parts);
  for (const layer of ["low", "high", "whole"]) mkdirSync(path(layer, "etc/deep"), { recursive: true });
  for (const layer of ["low", "whole"]) {
    writeFileSync(path(layer, "etc/deep/below"), "below\n");
    symlinkSync("/etc", path(layer, "absolute"));
    symlinkSync("../../../../etc/deep", path(layer, "upwards"));
    symlinkSync("/proc/self/root", path(layer, "magic"));
  }
  writeFileSync(path("low/etc/name"), "low\n");
  for (const layer of ["high", "whole"]) writeFileSync(path(layer, "etc/name"), "high\n");
  writeFileSync(path("whole", "tool"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
  writeFileSync(path("high", "tool"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
  return new Map<string, PlanRootfs>([
    ["overlay", { type: "overlay", lower: [path("high"), path("low")], options: [] }],
    ["directory", { type: "bind", source: path("whole"), readonly: true }],
  ]);
}

describe("an image volume", () => {
  beforeEach(() => {
    container = new TestContainer();
    images = makeImages();
  });
  afterEach(() => {
    const mounts = readFileSync("/proc/self/mountinfo", "utf8");
    assert.ok(!mounts.includes(container.directory), "nothing is mounted on the host");
    container.dispose();
  });

  for (const oldKernel of [false, true]) {
    for (const source of ["overlay", "directory"]) {
      const run = (script: string, ...volumes: [destination: string, ...options: string[]][]) => {
        const spec = container.spec(script);
        for (const [destination, ...options] of volumes)
          spec.mounts?.push({ destination, type: "image", source, options });
        return container.run(spec, { images, oldKernel });
      };
      const name = `from ${source === "overlay" ? "layers" : "a directory"}${oldKernel ? ", on an old kernel" : ""}`;

      test(`${name}: all of it, or a directory or a file of it, read-only and executable`, async () => {
        const script =
          "cat /v/etc/name /v/etc/deep/below /sub/below /etc/one; /v/tool; touch /v/x; touch /sub/x; echo >/etc/one; ls /sub; mount | grep -c ' on /v '";
        const volumes: [string, ...string[]][] = [
          ["/v"],
          ["/sub", "subpath=etc/deep"],
          ["/etc/one", "subpath=etc/name"],
        ];
        const { stdout, stderr, message } = await run(script, ...volumes);
        assert.equal(message, undefined);
        assert.equal(stdout, "high\nbelow\nbelow\nhigh\nran\nbelow\n1\n");
        assert.equal(stderr.match(/Read-only file system/g)?.length, 3, stderr);
      });

      test(`${name}: links of the image stay in it`, async () => {
        const linked = await run(
          "cat /a/name /b/below",
          ["/a", "subpath=absolute"],
          ["/b", "subpath=upwards"],
        );
        assert.equal(linked.message, undefined);
        assert.equal(linked.stdout, "high\nbelow\n");
        for (const path of ["magic", "nothing", "etc/name/x"]) {
          const { message } = await run("true", ["/a", `subpath=${path}`]);
          assert.match(message ?? "", /^image volume on \/a: openat2 .*: (ENOENT|ENOTDIR|ELOOP|EXDEV)$/);
        }
      });

      test(`${name}: with further options`, async () => {
        const { stdout, stderr } = await run("/v/tool; mount | grep ' on /v '", ["/v", "noexec", "nosuid"]);
        assert.match(stderr, /Permission denied/);
        assert.match(stdout, /nosuid,noexec/);
        assert.match(stdout, /\(ro,/);
      });
    }
  }

  test("reaches no mount of the host's, even where the root is to be shared with it", async () => {
    for (const oldKernel of [false, true]) {
      const seen = join(container.directory, "seen");
      const spec = container.spec("cat /v/etc/name", {}, { rootfsPropagation: "rshared" });
      spec.mounts?.push({ destination: "/v", type: "image", source: "overlay" });
      const look = { path: "/bin/sh", args: ["sh", "-c", `cat /proc/self/mountinfo > ${seen}`] };
      spec.hooks = { createRuntime: [look] };
      // As on a host whose root is shared, in a mount namespace of the test's own.
      const plan = join(container.directory, "plan");
      writeFileSync(plan, compilePlan(spec, container.options({ images, oldKernel })));
      const script = `mount --make-rshared / && exec ${shimProgram} launch --wait --plan-fd 3 --result-fd 4 3<${plan} 4>${plan}.result`;
      const launched = spawnSync("unshare", ["-m", "--propagation", "private", "sh", "-c", script]);
      assert.equal(launched.stdout.toString(), "high\n", launched.stderr.toString());
      const mounts = readFileSync(seen, "utf8");
      assert.match(mounts, / shared:/);
      assert.ok(!mounts.includes(container.directory), mounts);
    }
  });

  test("covers nothing of procfs, wherever a link of the root leads", async () => {
    symlinkSync("/proc/sys", join(container.rootfs, "link"));
    for (const source of ["overlay", "directory"]) {
      const spec = container.spec("ls /proc/sys");
      spec.mounts?.push({ destination: "/link", type: "image", source });
      const { message } = await container.run(spec, { images });
      assert.match(message ?? "", /^image volume on \/link: mount on procfs: EPERM/);
    }
  });

  test("is refused where the plan is told of no such image", () => {
    const spec = container.spec("true");
    spec.mounts?.push({ destination: "/v", type: "image", source: "unknown" });
    assert.throws(() => container.run(spec, { images }), /mount on \/v: unknown image unknown/);
  });
});
