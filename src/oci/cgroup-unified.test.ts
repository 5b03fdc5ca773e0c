/** Controllers of v2 beside v1, in a kernel of the test's own: enabled for limits, and disabled after the last of them. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { GantryError } from "../base/errors.ts";
import { kernelCgroupFiles, type CgroupFiles } from "./cgroup-files.ts";
import { createCgroupManager } from "./cgroup-manager.ts";
import type { Resources } from "./runtime-spec.ts";

const UNIFIED = "/cg/unified";
const PAGES: Resources = { hugepageLimits: [{ pageSize: "2MB", limit: 0 }] };
const code = (name: string): Error => Object.assign(new Error(name), { code: name });

/** A v1 hierarchy of systemd and a v2 one with the controllers hugetlb and rdma. */
class Kernel {
  readonly files = new Map<string, string>();
  readonly notes = new Map<string, string>();
  readonly locks = { shared: 0, alone: 0 };
  /** So often a lock is not to be had. */
  busy = 0;

  constructor() {
    this.#add("/cg/systemd", { "cgroup.procs": "" });
    this.#add(UNIFIED, {
      "cgroup.procs": "1\n",
      "cgroup.controllers": "hugetlb rdma\n",
      "cgroup.subtree_control": "\n",
    });
  }

  /** Another process's manager each time. */
  manager() {
    const calls: CgroupFiles = {
      ...kernelCgroupFiles,
      mkdir: (directory) => this.mkdir(directory),
      rmdir: (directory) => this.rmdir(directory),
      children: (directory) => this.children(directory),
      names: (directory) => [...this.files.keys()].filter((path) => dirname(path) === directory).map(name),
      read: (path) => this.files.get(path),
      write: (path, value) => this.write(path, value),
      writeAside: async (path, value) => this.write(path, value),
      note: (directory) => this.notes.get(directory) ?? "",
      setNote: (directory, text) => Boolean(this.notes.set(directory, text)),
      lock: (_, shared) => {
        const { locks } = this;
        if (this.busy > 0 && this.busy-- > 0) return undefined;
        if (locks.alone > 0 || (!shared && locks.shared > 0)) return undefined;
        const kind = shared ? "shared" : "alone";
        locks[kind]++;
        return { [Symbol.dispose]: () => void locks[kind]-- };
      },
    };
    return createCgroupManager({ root: "/cg", files: calls });
  }

  /** What is enabled below a group of v2. */
  below(path: string): string {
    return this.files.get(`${UNIFIED}${path}/cgroup.subtree_control`)?.trim() ?? "none";
  }

  mkdir(directory: string): boolean {
    if (this.files.has(`${directory}/cgroup.procs`)) return false;
    if (!this.files.has(`${dirname(directory)}/cgroup.procs`)) throw code("ENOENT");
    this.#add(directory, { "cgroup.procs": "", "cgroup.events": "populated 0\n" });
    if (directory.startsWith(UNIFIED)) {
      this.files.set(`${directory}/cgroup.controllers`, "");
      this.files.set(`${directory}/cgroup.subtree_control`, "");
      for (const controller of this.#enabled(dirname(directory))) this.#show(directory, controller, true);
    }
    return true;
  }

  rmdir(directory: string): void {
    if (!this.files.has(`${directory}/cgroup.procs`)) throw code("ENOENT");
    if (this.children(directory).length > 0) throw code("EBUSY");
    for (const path of this.files.keys()) if (dirname(path) === directory) this.files.delete(path);
    this.notes.delete(directory);
  }

  children(directory: string): string[] {
    const below = [...this.files.keys()].filter((path) => path.startsWith(`${directory}/`));
    const rests = below.map((path) => path.slice(directory.length + 1)).filter((path) => path.includes("/"));
    return [...new Set(rests.map((path) => path.slice(0, path.indexOf("/"))))];
  }

  write(path: string, value: string): void {
    if (!this.files.has(path)) throw code("ENOENT");
    if (name(path) !== "cgroup.subtree_control") return void this.files.set(path, value);
    const directory = dirname(path);
    const children = this.children(directory).map((child) => `${directory}/${child}`);
    const [on, controller] = [value.startsWith("+"), value.slice(1)];
    if (!on && children.some((child) => this.#enabled(child).includes(controller))) throw code("EBUSY");
    this.#change(path, controller, on);
    for (const child of children) this.#show(child, controller, on);
  }

  #enabled(directory: string): string[] {
    return (this.files.get(`${directory}/cgroup.subtree_control`) ?? "").split(/\s+/).filter(Boolean);
  }

  #show(directory: string, controller: string, on: boolean): void {
    this.#change(`${directory}/cgroup.controllers`, controller, on);
    const file = controller === "rdma" ? "rdma.max" : "hugetlb.2MB.max";
    if (on)
      this.files.set(
        `${directory}/${file}`,
        controller === "rdma" ? "mlx5_0 hca_handle=max\n" : "9223372036854771712\n",
      );
    else this.files.delete(`${directory}/${file}`);
  }

  #change(path: string, word: string, on: boolean): void {
    const others = (this.files.get(path) ?? "").split(/\s+/).filter((other) => other && other !== word);
    this.files.set(path, `${[...others, ...(on ? [word] : [])].join(" ")}\n`);
  }

  #add(directory: string, files: Record<string, string>): void {
    for (const [file, text] of Object.entries(files)) this.files.set(`${directory}/${file}`, text);
  }
}
const name = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

test("off without a limit, on along the path with one, and off after the last, whoever removes it", async () => {
  const kernel = new Kernel();
  kernel.mkdir(`${UNIFIED}/kubepods`);
  const plain = await kernel.manager().create("/kubepods/pod/plain", {});
  assert.equal(kernel.below(""), "");
  assert.equal(await plain.removeIfEmpty(), true);
  const one = await kernel.manager().create("/kubepods/pod/one", PAGES);
  const two = await kernel.manager().create("/kubepods/other/two", PAGES);
  assert.equal(kernel.files.get(`${UNIFIED}/kubepods/pod/one/hugetlb.2MB.max`), "0");
  assert.deepEqual(
    ["", "/kubepods", "/kubepods/pod"].map((path) => kernel.below(path)),
    ["hugetlb", "hugetlb", "hugetlb"],
  );
  await one.remove(AbortSignal.timeout(1000));
  assert.equal(kernel.below("/kubepods/pod"), "hugetlb", "as long as any group has a limit all stays");
  assert.equal(await kernel.manager().load("/kubepods/other/two").removeIfEmpty(), true);
  assert.deepEqual(
    ["", "/kubepods", "/kubepods/other"].map((path) => kernel.below(path)),
    ["", "", ""],
  );
  assert.equal(await two.removeIfEmpty(), true);
});

test("what others enabled or limit stays", async () => {
  const kernel = new Kernel();
  kernel.mkdir(`${UNIFIED}/theirs`);
  kernel.write(`${UNIFIED}/cgroup.subtree_control`, "+hugetlb");
  const one = await kernel.manager().create("/own/one", PAGES);
  assert.equal(kernel.below("/own"), "hugetlb");
  await one.remove(AbortSignal.timeout(1000));
  assert.deepEqual([kernel.below(""), kernel.below("/own")], ["hugetlb", ""]);

  const shared = new Kernel();
  shared.mkdir(`${UNIFIED}/theirs`);
  shared.mkdir(`${UNIFIED}/theirs/leaf`);
  const group = await shared.manager().create("/group", PAGES);
  shared.write(`${UNIFIED}/theirs/hugetlb.2MB.max`, "4096");
  assert.equal(await group.removeIfEmpty(), true);
  assert.equal(shared.below(""), "hugetlb", "a limit of theirs");
  shared.write(`${UNIFIED}/theirs/hugetlb.2MB.max`, "max");
  shared.write(`${UNIFIED}/theirs/cgroup.subtree_control`, "+hugetlb");
  const again = await shared.manager().create("/group", PAGES);
  assert.equal(await again.removeIfEmpty(), true);
  assert.equal(shared.below(""), "hugetlb", "enabled by them below");
  shared.write(`${UNIFIED}/theirs/cgroup.subtree_control`, "-hugetlb");
  const last = await shared.manager().create("/group", PAGES);
  assert.equal(await last.removeIfEmpty(), true);
  assert.equal(shared.below(""), "");
});

test("a creation that fails leaves nothing enabled, an update enables, devices' names are no limits", async () => {
  const kernel = new Kernel();
  const bad: Resources = { ...PAGES, unified: { "memory.high": "1" } };
  await assert.rejects(kernel.manager().create("/bad", bad), GantryError);
  assert.equal(kernel.below(""), "");
  const group = await kernel.manager().create("/late", {});
  await group.update({ rdma: { mlx5_0: { hcaHandles: 3 } } });
  assert.equal(kernel.below(""), "rdma");
  kernel.mkdir(`${UNIFIED}/idle`);
  await group.remove(AbortSignal.timeout(1000));
  assert.equal(kernel.below(""), "");
});

test("nothing is disabled while another process enables, nor enabled while one disables", async () => {
  const kernel = new Kernel();
  const group = await kernel.manager().create("/one", PAGES);
  kernel.locks.shared++;
  assert.equal(await group.removeIfEmpty(), true);
  assert.equal(kernel.below(""), "hugetlb");
  kernel.locks.shared--;
  kernel.busy = 3;
  const two = await kernel.manager().create("/two", PAGES);
  assert.equal(await two.removeIfEmpty(), true);
  assert.equal(kernel.below(""), "");
  assert.deepEqual(kernel.locks, { shared: 0, alone: 0 });
});
