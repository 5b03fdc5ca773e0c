/**
 * Hooks run with the runtime's power and with nothing of the container's: no variable of it (LD_PRELOAD), no library, no
 * directory (CVE-2025-23266, CVE-2024-0132).
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Hook, Spec } from "../../src/oci/runtime-spec.ts";
import { file } from "../harness/image-builder.ts";
import { Gantryd } from "./way-gantryd.ts";
import { GantryOci } from "./way-gantry-oci.ts";

/** Those that run on the host; startContainer's is one of the container's own programs. */
const KINDS = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] as const;
const O_CLOEXEC = 0o2000000;
const HOSTILE = ["LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/evil", "GANTRY_EVIL=1"];

/** Descriptors that whoever runs the tests has left open for all of its children, and so for a command's hooks. */
const inherited = new Set(
  readdirSync("/proc/self/fdinfo").filter((fd) => {
    const path = `/proc/self/fdinfo/${fd}`;
    const flags = existsSync(path) ? /^flags:\s+(\d+)$/m.exec(readFileSync(path, "utf8"))?.[1] : undefined;
    return Number(fd) > 3 && flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0;
  }),
);

/** Writes its environment, directory, descriptors and the program that it is to a file in the directory. */
function hook(directory: string, kind: string): Hook {
  const record = join(directory, kind);
  const script = `{ env; echo "cwd=$(pwd)"; echo "fds="$(ls /proc/self/fd); readlink /proc/self/exe; } > ${record} 2>&1; true`;
  return { path: "/bin/sh", args: ["sh", "-c", script], env: ["ONLY=this", "PATH=/usr/bin:/bin"] };
}

function assertClean(directory: string, kinds: readonly string[], rootfs: RegExp): void {
  assert.deepEqual(readdirSync(directory).sort(), [...kinds].sort());
  for (const kind of kinds) {
    const text = readFileSync(join(directory, kind), "utf8");
    assert.match(text, /^ONLY=this$/m, kind);
    assert.doesNotMatch(text, /evil|EVIL|LD_/, `${kind}: ${text}`);
    assert.doesNotMatch(/^cwd=(.*)$/m.exec(text)?.[1] ?? "", rootfs, `${kind}: ${text}`);
    const fds = /^fds=(.*)$/m.exec(text)?.[1]?.split(" ") ?? [];
    /* Its own three, and that of the listing. */
    assert.deepEqual(fds.filter((fd) => !inherited.has(fd)).sort(), ["0", "1", "2", "3"], `${kind}: ${text}`);
  }
}

test("gantry-oci: hooks of all kinds have their own environment and no descriptor of the runtime's", async () => {
  const way = new GantryOci();
  const directory = join(way.directory, "hooks");
  mkdirSync(directory);
  try {
    const attack = { image: [file("evil.so", "evil")], command: "true" };
    const { refused, exitCode, output } = await way.run(attack, (spec: Spec) => {
      spec.process?.env?.push(...HOSTILE);
      spec.hooks = {
        ...Object.fromEntries(KINDS.map((kind) => [kind, [hook(directory, kind)]])),
        startContainer: [{ path: "/bin/sh", args: ["sh", "-c", "env > /out; ls /proc/self/fd > /fds"] }],
      };
    });
    assert.equal(refused, undefined);
    assert.equal(exitCode, 0, output);
    assertClean(directory, KINDS, /rootfs/);
    const inside = (name: string): string => readFileSync(join(way.directory, "a1/rootfs", name), "utf8");
    assert.doesNotMatch(inside("out"), /evil|EVIL|LD_/);
    assert.equal(inside("fds").trim().split(/\s+/).length, 4);
  } finally {
    await way.close();
  }
});

test("gantryd: hooks of a CDI device have their own environment and no descriptor of the runtime's", async () => {
  const way = await Gantryd.open();
  try {
    const { daemon } = way.setting;
    const directory = daemon.path("hooks");
    mkdirSync(directory);
    mkdirSync(daemon.path("cdi"));
    const kinds = KINDS.filter((kind) => kind !== "prestart");
    const hooks = kinds.map((hookName) => ({ hookName, ...hook(directory, hookName) }));
    const file_ = {
      cdiVersion: "1.1.0",
      kind: "test.example/hooks",
      devices: [{ name: "all", containerEdits: { hooks } }],
    };
    writeFileSync(daemon.path("cdi/hooks.json"), JSON.stringify(file_));
    const { refused } = await way.runImage(
      [file("evil.so", "evil")],
      { Cmd: ["true"], Env: ["PATH=/bin", ...HOSTILE] },
      { command: [], CDI_devices: [{ name: "test.example/hooks=all" }] },
    );
    assert.equal(refused, undefined);
    assertClean(directory, kinds, /rootfs|snapshots/);
  } finally {
    await way.close();
  }
});
