/**
 * Which filesystems a process enters a group on (native/executor/cgroup.c). The call that names the filesystem is replaced:
 * few machines have resctrl, and nothing else has its number. Needs a C compiler; stands with the tests that have one.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const NATIVE = join(import.meta.dirname, "../../native");
const MAIN = `
#include "executor/cgroup.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/statfs.h>
static long magic;
int __wrap_fstatfs(int fd, struct statfs *filesystem);
int __wrap_fstatfs(int fd, struct statfs *filesystem) {
    filesystem->f_type = magic + 0 * fd;
    return 0;
}
int main(int count, char **args) {
    magic = count > 2 ? strtol(args[2], NULL, 16) : 0;
    return cgroup_enter(args[1]) == 0 ? 0 : errno;
}`;

test("groups of both versions and resctrl classes are entered, and nothing else is written to", () => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-enter-"));
  try {
    const [source, program, tasks] = ["main.c", "main", "tasks"].map((name) => join(directory, name));
    assert.ok(source && program && tasks);
    writeFileSync(source, MAIN);
    const includes = [`-I${NATIVE}`, `-I${NATIVE}/include`];
    const files = [source, join(NATIVE, "executor/cgroup.c")];
    execFileSync("cc", ["-std=gnu17", "-Wl,--wrap=fstatfs", ...includes, "-o", program, ...files]);
    const kinds = { v1: "27e0eb", v2: "63677270", resctrl: "7655821", tmpfs: "1021994" };
    const written = Object.entries(kinds).map(([kind, magic]) => {
      writeFileSync(tasks, "");
      spawnSync(program, [tasks, magic]);
      return `${kind} ${readFileSync(tasks, "latin1")}`;
    });
    assert.deepEqual(written, ["v1 0", "v2 0", "resctrl 0", "tmpfs "]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
