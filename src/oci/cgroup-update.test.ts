/**
 * Updates against a kernel in memory, which has the rules of the real one and fails at any write that a test chooses:
 * whatever the change and wherever it fails, every file has its old value afterwards.
 */
import assert from "node:assert/strict";
import { basename, dirname } from "node:path";
import { test } from "node:test";
import { GantryError } from "../base/errors.ts";
import type { CgroupFiles } from "./cgroup-files.ts";
import { createCgroupManager } from "./cgroup-manager.ts";
import type { Cgroup } from "./cgroup.ts";
import type { Resources } from "./runtime-spec.ts";

const UNLIMITED = 9223372036854771712;
const USAGE = 50;

const V1 = {
  "/cg/memory/cgroup.procs": "",
  "/cg/memory/one/memory.limit_in_bytes": "100\n",
  "/cg/memory/one/memory.memsw.limit_in_bytes": "150\n",
  "/cg/memory/one/memory.usage_in_bytes": `${USAGE}\n`,
  "/cg/memory/one/memory.soft_limit_in_bytes": `${UNLIMITED}\n`,
  "/cg/cpu/cgroup.procs": "",
  "/cg/cpu/one/cpu.shares": "1024\n",
  "/cg/cpu/one/cpu.cfs_period_us": "100000\n",
  "/cg/cpu/one/cpu.cfs_quota_us": "50000\n",
  "/cg/cpuset/cgroup.procs": "",
  "/cg/cpuset/one/cpuset.cpus": "0-1\n",
  "/cg/cpuset/one/cpuset.mems": "0\n",
  "/cg/pids/cgroup.procs": "",
  "/cg/pids/one/pids.max": "max\n",
  "/cg/unified/cgroup.controllers": "hugetlb\n",
  "/cg/unified/cgroup.procs": "",
  "/cg/unified/cgroup.subtree_control": "hugetlb\n",
  "/cg/unified/one/cgroup.procs": "",
  "/cg/unified/one/hugetlb.2MB.max": "max\n",
};
const V2 = {
  "/cg/cgroup.controllers": "cpu cpuset memory pids hugetlb io\n",
  "/cg/one/cgroup.procs": "",
  "/cg/one/memory.max": "100\n",
  "/cg/one/memory.swap.max": "50\n",
  "/cg/one/memory.low": "0\n",
  "/cg/one/memory.high": "max\n",
  "/cg/one/memory.current": `${USAGE + 20}\n`,
  "/cg/one/memory.stat": "anon 40\ninactive_file 20\n",
  "/cg/one/memory.oom.group": "0\n",
  "/cg/one/cpu.weight": "100\n",
  "/cg/one/cpu.max": "50000 100000\n",
  "/cg/one/cpuset.cpus": "\n",
  "/cg/one/cpuset.mems": "\n",
  "/cg/one/pids.max": "max\n",
  "/cg/one/io.max": "8:0 rbps=1 wbps=2\n8:16 rbps=3 wbps=4\n",
  "/cg/one/hugetlb.2MB.max": "max\n",
};

class Kernel {
  readonly values: Map<string, string>;
  /** The write that fails, counted from 0, and how. */
  fault: { at: number; code: string } | undefined;
  writes = 0;

  constructor(files: Readonly<Record<string, string>>) {
    this.values = new Map(Object.entries(files));
  }

  group(): Cgroup {
    return createCgroupManager({ root: "/cg", files: this.#files, attachDeviceFilter: () => undefined }).load(
      "/one",
    );
  }

  readonly #files: CgroupFiles = {
    mkdir: () => false,
    rmdir: () => undefined,
    children: (directory) =>
      directory === "/cg"
        ? [...new Set([...this.values.keys()].map((path) => path.split("/")[2] ?? ""))]
        : [],
    read: (path) => this.values.get(path),
    names: () => [],
    note: () => "",
    setNote: () => false,
    lock: () => ({ [Symbol.dispose]: () => undefined }),
    readMany: () => Promise.reject(new Error("nothing is read at once here")),
    write: (path, value) => this.#write(path, value),
    writeAside: async (path, value) => {
      await Promise.resolve();
      this.#write(path, value);
    },
  };

  #write(path: string, value: string): void {
    if (this.writes++ === this.fault?.at) throw failure(this.fault.code);
    const old = this.values.get(path);
    if (old === undefined) throw failure("ENOENT");
    const number = value === "-1" ? UNLIMITED : Number(value);
    const other = (name: string): number => Number(this.values.get(`${dirname(path)}/${name}`));
    const refuse = (when: boolean, code = "EINVAL"): void => {
      if (when) throw failure(code);
    };
    switch (basename(path)) {
      case "memory.limit_in_bytes":
        refuse(number > other("memory.memsw.limit_in_bytes"));
        refuse(number < USAGE, "EBUSY");
        break;
      case "memory.memsw.limit_in_bytes":
        refuse(number < other("memory.limit_in_bytes"));
        refuse(number < USAGE, "EBUSY");
        break;
      // The group above has one processor's time.
      case "cpu.cfs_period_us":
        refuse(other("cpu.cfs_quota_us") / number > 1);
        break;
      case "cpu.cfs_quota_us":
        refuse(number !== UNLIMITED && number / other("cpu.cfs_period_us") > 1);
        break;
      case "cpuset.cpus":
        refuse(value === "9", "EACCES");
        break;
      case "io.max": {
        const key = value.split(" ")[0] ?? "";
        const lines = old.split("\n").map((line) => (line.startsWith(`${key} `) ? value : line));
        this.values.set(path, lines.join("\n"));
        return;
      }
    }
    this.values.set(path, value === "-1" && path.includes("memory") ? `${UNLIMITED}\n` : `${value.trim()}\n`);
  }
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

const MEMORY: NonNullable<Resources["memory"]>[] = [
  { limit: 200, swap: 300 },
  { limit: 60, swap: 70 },
  { limit: 140, swap: 145 },
  { limit: 60, swap: 400 },
  { limit: -1, swap: -1 },
  { limit: 120, swap: 150, reservation: 90 },
];
const CPU: NonNullable<Resources["cpu"]>[] = [
  { shares: 2000 },
  { quota: 10_000, period: 20_000 },
  { quota: 200_000, period: 400_000 },
  { quota: -1 },
  { quota: 20_000, period: 10_000 },
  { shares: 5, cpus: "0", mems: "0" },
  { quota: 60_000, cpus: "9" },
];
const changes: Resources[] = MEMORY.flatMap((memory) =>
  CPU.map((cpu) => ({ memory, cpu, pids: { limit: 7 }, hugepageLimits: [{ pageSize: "2MB", limit: 0 }] })),
);

for (const [name, files] of [
  ["v1 with huge pages in the v2 hierarchy", V1],
  ["v2", V2],
] as const) {
  test(`${name}: an update that fails at any write leaves every old value`, async () => {
    let failed = 0;
    for (const change of changes)
      for (const code of ["EINVAL", "EBUSY", "EIO"])
        for (let at = 0; ; at++) {
          const kernel = new Kernel(files);
          const before = new Map(kernel.values);
          kernel.fault = { at, code };
          try {
            await kernel.group().update(change);
            if (kernel.writes > at) continue; // Where the other order has helped.
            break;
          } catch (error) {
            failed += 1;
            assert.ok(error instanceof GantryError && !error.message.includes("put back"), String(error));
            assert.deepEqual(kernel.values, before, `${JSON.stringify(change)} at ${at}: ${error.message}`);
          }
          if (kernel.writes <= at) break;
        }
    assert.ok(failed > 500, String(failed));
  });

  test(`${name}: an update is taken back as a whole by who has asked for it`, async () => {
    let updated = 0;
    for (const change of changes) {
      const kernel = new Kernel(files);
      const before = new Map(kernel.values);
      const undo = await kernel
        .group()
        .update(change)
        .catch(() => undefined);
      if (!undo) continue;
      updated += 1;
      assert.notDeepEqual(kernel.values, before);
      await undo();
      assert.deepEqual(kernel.values, before, JSON.stringify(change));
    }
    assert.ok(updated > 10, String(updated));
  });
}

test("files of v2 with several lines, and empty ones, have their old text again", async () => {
  const kernel = new Kernel(V2);
  const before = new Map(kernel.values);
  const unified = { "io.max": "8:16 rbps=9 wbps=9", "memory.oom.group": "1", "memory.high": "90" };
  const undo = await kernel.group().update({ unified, cpu: { cpus: "0" } });
  assert.match(kernel.values.get("/cg/one/io.max") ?? "", /8:0 rbps=1 wbps=2\n8:16 rbps=9 wbps=9/);
  await undo();
  assert.deepEqual(kernel.values, before);
});

test("a value that cannot be put back is told", async () => {
  const kernel = new Kernel(V1);
  const undo = await kernel.group().update({ cpu: { shares: 9 }, memory: { limit: 120, swap: 150 } });
  kernel.values.set("/cg/memory/one/memory.memsw.limit_in_bytes", "90\n");
  kernel.values.set("/cg/memory/one/memory.limit_in_bytes", "80\n");
  // Only from outside can that happen: both are lower now than what is put back one by one.
  await undo();
  assert.equal(kernel.values.get("/cg/memory/one/memory.limit_in_bytes"), "100\n");
  const stuck = new Kernel(V1);
  const second = await stuck.group().update({ cpu: { shares: 9 } });
  stuck.values.set("/cg/cpu/one/cpu.shares", "10\n");
  const { set } = stuck.values;
  stuck.values.set = () => {
    throw failure("EIO");
  };
  await assert.rejects(second(), { kind: "internal", message: /cpu\.shares could not be put back/ });
  stuck.values.set = set;
});

test("a memory limit below what is in use is refused, in words", async () => {
  const below = { memory: { limit: 40, swap: 40, checkBeforeUpdate: true } };
  await assert.rejects(new Kernel(V1).group().update(below), {
    kind: "failed-precondition",
    message: /memory\.limit_in_bytes: 50 bytes are in use/,
  });
  await assert.rejects(new Kernel(V2).group().update(below), {
    kind: "failed-precondition",
    message: /memory limit 40 is below the 50 bytes in use/,
  });
  const fits = { memory: { limit: 60, swap: 60, checkBeforeUpdate: true } };
  for (const files of [V1, V2]) await new Kernel(files).group().update(fits);
  await assert.rejects(new Kernel(V1).group().update({ cpu: { cpus: "9" } }), {
    kind: "failed-precondition",
    message: /cpuset\.cpus: the group above it has not all of them/,
  });
});
