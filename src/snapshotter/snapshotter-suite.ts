/**
 * What every snapshotter has to do, as tests: each implementation's test file runs it. It needs root, as it makes
 * devices and owners and mounts what it gets, in directories of its own that are unmounted at the end.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, describe, test } from "node:test";
import { type Digest, digestHex } from "../base/digest.ts";
import { silentLogger } from "../base/logger.ts";
import { FileBatch, FileTree } from "../native/files.ts";
import type { SnapshotterOptions } from "./snapshot-base.ts";
import type { SnapshotStore } from "./snapshot-store.ts";
import type { RootfsMount, Snapshotter } from "./snapshotter.ts";

type Subject = Snapshotter & { settled(): Promise<void> };
type Create = (options: SnapshotterOptions) => Subject;

/** What a layer of a test holds, by path. */
type LayerContent = Record<
  string,
  | string
  | { directory: number }
  | { link: string }
  | { hardlink: string }
  | { node: number; device?: [number, number] }
  | "whiteout!"
  | "opaque!"
>;

const USAGE = { bytes: 4096, inodes: 1 };
const MTIME = 1_500_000_000;

function digestOf(text: string): Digest {
  return `sha256:${createHash("sha256").update(text).digest("hex")}` as Digest;
}

/** Keeps tables as long as the test. */
function memoryStore(): SnapshotStore {
  const tables = new Map<string, Map<string, unknown>>();
  return {
    table<T>(name: string) {
      const rows = tables.get(name) ?? new Map<string, unknown>();
      tables.set(name, rows);
      return {
        put: (id: string, record: T) => void rows.set(id, structuredClone(record)),
        delete: (id: string) => void rows.delete(id),
        list: () => Array.from(rows, ([id, record]) => ({ id, record: structuredClone(record) as T })),
      };
    },
  };
}

class Bench {
  readonly root = fs.mkdtempSync(join(tmpdir(), "gantry-snapshotter-"));
  readonly directory = join(this.root, "snapshots");
  readonly store = memoryStore();
  readonly #create: Create;
  #mounts: string[] = [];
  subject: Subject;

  constructor(t: TestContext, create: Create) {
    this.#create = create;
    this.subject = this.open();
    t.after(async () => {
      for (const target of this.#mounts.reverse()) execFileSync("umount", [target]);
      await this.subject.settled();
      fs.rmSync(this.root, { recursive: true, force: true });
    });
  }

  /** As after a restart: another snapshotter on the same directory and records. */
  open(): Subject {
    this.subject = this.#create({ directory: this.directory, store: this.store, log: silentLogger });
    return this.subject;
  }

  /** Unpacks and commits a layer and the chain with it; the chainID. */
  async layer(name: string, content: LayerContent, parent?: Digest): Promise<Digest> {
    const diffId = digestOf(name);
    if (!this.subject.hasLayer(diffId)) {
      const { directory, whiteouts } = await this.subject.layerBegin(diffId);
      writeLayer(directory, whiteouts, content);
      await this.subject.layerCommit(diffId, USAGE);
    }
    const chainId = digestOf(`${parent ?? ""} ${name}`);
    await this.subject.commit(chainId, diffId, parent);
    return chainId;
  }

  /** Mounts as a container's mount namespace would; the mount point. Short names, as one page has to hold them all. */
  mount(mount: RootfsMount): string {
    const target = fs.mkdtempSync(join(this.root, "mnt-"));
    if (mount.type === "bind") {
      execFileSync("mount", ["--bind", ...(mount.readonly ? ["-o", "ro"] : []), mount.source, target]);
    } else {
      const names = fs.mkdtempSync(join(this.root, "lower-"));
      mount.lower.forEach((path, i) => fs.symlinkSync(path, join(names, String(i))));
      const options = [`lowerdir=${mount.lower.map((_, i) => i).join(":")}`, ...mount.options];
      if (mount.upper !== undefined) options.push(`upperdir=${mount.upper}`, `workdir=${mount.work ?? ""}`);
      execFileSync("mount", ["-t", "overlay", "-o", options.join(","), "overlay", target], { cwd: names });
    }
    this.#mounts.push(target);
    return target;
  }
}

function writeLayer(directory: string, whiteouts: "overlay" | "oci", content: LayerContent): void {
  const tree = new FileTree(directory);
  const batch = new FileBatch();
  const parts: Buffer[] = [];
  let bytes = 0;
  const metadata = { mtimeSeconds: MTIME, mtimeNanoseconds: 5, atimeSeconds: MTIME, atimeNanoseconds: 5 };
  const of = (mode: number, id = 0, xattrs: { name: string; value: string }[] = []) => ({
    ...metadata,
    mode,
    uid: id,
    gid: id,
    xattrs,
  });
  const oci = (path: string): void => batch.wholeFile(path, of(0o600), 0, 0);
  for (const [path, entry] of Object.entries(content)) {
    const parent = dirname(path) === "." ? "" : `${dirname(path)}/`;
    if (entry === "whiteout!") {
      if (whiteouts === "overlay") batch.whiteout(path);
      else oci(`${parent}.wh.${path.slice(parent.length)}`);
    } else if (entry === "opaque!") {
      const inside = path === "." ? "" : `${path}/`;
      if (whiteouts === "overlay") batch.opaque(path === "." ? "" : path);
      else oci(`${inside}.wh..wh..opq`);
    } else if (typeof entry === "string") {
      const data = Buffer.from(entry);
      parts.push(data);
      batch.wholeFile(path, of(0o4750, 7, [{ name: "user.note", value: "kept" }]), bytes, data.length);
      bytes += data.length;
    } else if ("directory" in entry) {
      if (path !== ".") batch.directory(path);
    } else if ("link" in entry) batch.symlink(path, entry.link, of(0o777, 3));
    else if ("hardlink" in entry) batch.hardlink(path, entry.hardlink);
    else batch.node(path, of(entry.node, 4), ...(entry.device ?? [0, 0]));
  }
  for (const [path, entry] of Object.entries(content)) {
    if (typeof entry !== "object" || !("directory" in entry)) continue;
    batch.directoryMetadata(path === "." ? "" : path, of(entry.directory, 9));
  }
  tree.apply(batch, Buffer.concat(parts));
  tree.close();
}

const KEY = "a".repeat(64);
const OTHER = "b".repeat(64);
const LIMIT = 1 << 20;

function kind(expected: string): (error: unknown) => boolean {
  return (error) => (error as { kind?: string }).kind === expected;
}

/** Registers the tests. */
export function snapshotterSuite(name: string, create: Create): void {
  describe(`snapshotter ${name}`, () => {
    const bench = (t: TestContext): Bench => new Bench(t, create);

    test("a container sees the layers merged, writes, and leaves nothing", async (t) => {
      const b = bench(t);
      const one = await b.layer("one", {
        "etc/passwd": "old",
        "etc/gone": "x",
        "etc/dir/inner": "x",
        "replaced/inner": "x",
        "opaque/below": "x",
        "file-then-dir": "x",
      });
      const two = await b.layer(
        "two",
        {
          "etc/passwd": "new",
          "etc/gone": "whiteout!",
          "etc/dir": "whiteout!",
          replaced: "now a file",
          opaque: "opaque!",
          "opaque/mine": "y",
          "file-then-dir/inner": "z",
        },
        one,
      );
      const root = b.mount(await b.subject.prepare(KEY, two));
      assert.equal(fs.readFileSync(join(root, "etc/passwd"), "utf8"), "new");
      assert.deepEqual(fs.readdirSync(join(root, "etc")), ["passwd"]);
      assert.deepEqual(fs.readdirSync(join(root, "opaque")), ["mine"]);
      assert.equal(fs.readFileSync(join(root, "replaced"), "utf8"), "now a file");
      assert.equal(fs.readFileSync(join(root, "file-then-dir/inner"), "utf8"), "z");
      fs.writeFileSync(join(root, "etc/written"), "w".repeat(10_000));
      fs.rmSync(join(root, "opaque"), { recursive: true });
      assert.ok((await b.subject.usage(KEY)).bytes >= 10_000);
      assert.ok((await b.subject.usage(KEY)).inodes >= 2);
      assert.deepEqual(await b.subject.usage(two), USAGE);

      const second = b.mount(await b.subject.prepare(OTHER, two));
      assert.deepEqual(fs.readdirSync(join(second, "etc")), ["passwd"]);
      assert.ok(fs.existsSync(join(second, "opaque/mine")));

      await b.subject.remove(OTHER);
      await b.subject.remove(OTHER);
      await b.subject.settled();
      assert.equal(b.subject.stat(OTHER), undefined);
      assert.deepEqual(fs.readdirSync(join(b.directory, "active")), [KEY]);
      assert.deepEqual(fs.readdirSync(join(b.directory, "trash")), []);
    });

    test("types, owners, modes, times, links and attributes reach the container", async (t) => {
      const b = bench(t);
      const one = await b.layer("meta", {
        ".": { directory: 0o1777 },
        "sub/file": "data",
        "sub/hard": { hardlink: "sub/file" },
        "sub/link": { link: "../sub/file" },
        "sub/fifo": { node: 0o010640 },
        "sub/null": { node: 0o020666, device: [1, 3] },
        sub: { directory: 0o2775 },
      });
      const top = await b.layer("meta2", { ".": { directory: 0o1777 }, "other/file": "data" }, one);
      const root = b.mount(await b.subject.prepare(KEY, top));
      const stat = (path: string): fs.Stats => fs.lstatSync(join(root, path));
      assert.equal(stat(".").mode & 0o7777, 0o1777);
      assert.equal(stat(".").uid, 9);
      assert.equal(stat("sub").mode & 0o7777, 0o2775);
      assert.equal(stat("sub").mtimeMs, MTIME * 1000 + 5e-6);
      assert.equal(stat("sub").gid, 9);
      assert.equal(stat("sub/file").mode & 0o7777, 0o4750);
      assert.equal(stat("sub/file").uid, 7);
      assert.equal(stat("sub/file").ino, stat("sub/hard").ino);
      assert.equal(
        fs.statSync(join(root, "sub/file"), { bigint: true }).mtimeNs,
        BigInt(MTIME) * 10n ** 9n + 5n,
      );
      assert.equal(fs.readlinkSync(join(root, "sub/link")), "../sub/file");
      assert.equal(stat("sub/link").uid, 3);
      assert.ok(stat("sub/fifo").isFIFO());
      assert.ok(stat("sub/null").isCharacterDevice());
      assert.equal(stat("sub/null").rdev, 0x103);
      const note = execFileSync("getfattr", [
        "--absolute-names",
        "--only-values",
        "-n",
        "user.note",
        join(root, "sub/file"),
      ]);
      assert.equal(note.toString(), "kept");
    });

    test("no local user gets at a root filesystem", async (t) => {
      const b = bench(t);
      await b.subject.prepare(KEY, await b.layer("one", { file: "x" }));
      assert.equal(fs.statSync(b.directory).mode & 0o777, 0o700);
      for (const name of ["layers", "active", "trash"]) {
        assert.equal(fs.statSync(join(b.directory, name)).mode & 0o777, 0o700, name);
      }
      assert.equal(fs.statSync(join(b.directory, "active", KEY)).mode & 0o777, 0o700);
    });

    test("an opaque root hides all layers below", async (t) => {
      const b = bench(t);
      const one = await b.layer("one", { below: "x" });
      const two = await b.layer("two", { ".": "opaque!", above: "y" }, one);
      const three = await b.layer("three", { top: "z" }, two);
      assert.deepEqual(fs.readdirSync(b.mount(await b.subject.prepare(KEY, three))), ["above", "top"]);
      assert.equal(await b.subject.readFile(three, "below", LIMIT), undefined);
    });

    test("a view is read-only, and whiteouts of the lowest layer do not show", async (t) => {
      const b = bench(t);
      const one = await b.layer("one", { file: "x", gone: "whiteout!" });
      const root = b.mount(await b.subject.view(KEY, one));
      assert.deepEqual(fs.readdirSync(root), ["file"]);
      assert.throws(() => fs.writeFileSync(join(root, "new"), "x"), { code: "EROFS" });
      assert.deepEqual(await b.subject.usage(KEY), { bytes: 0, inodes: 0 });
      assert.equal(b.subject.stat(KEY)?.kind, "view");
    });

    test("a snapshot of no layer is empty and writable", async (t) => {
      const b = bench(t);
      const root = b.mount(await b.subject.prepare(KEY, undefined));
      assert.deepEqual(fs.readdirSync(root), []);
      assert.equal(fs.statSync(root).mode & 0o7777, 0o755);
      fs.writeFileSync(join(root, "file"), "x");
      assert.ok((await b.subject.usage(KEY)).inodes >= 2);
    });

    test("a chain of 120 layers", async (t) => {
      const b = bench(t);
      let chain: Digest | undefined;
      for (let i = 0; i < 120; i++) {
        chain = await b.layer(`layer ${i}`, { [`file-${i}`]: String(i), last: String(i) }, chain);
      }
      assert.ok(chain);
      const root = b.mount(await b.subject.prepare(KEY, chain));
      assert.equal(fs.readdirSync(root).length, 121);
      assert.equal(fs.readFileSync(join(root, "last"), "utf8"), "119");
      assert.equal((await b.subject.readFile(chain, "/file-0", LIMIT))?.toString(), "0");
    });

    test("readFile stays in the snapshot and takes regular files only", async (t) => {
      const b = bench(t);
      const secret = join(b.root, "secret");
      fs.writeFileSync(secret, "host");
      const one = await b.layer("one", {
        "real/passwd": "root:x",
        etc: { link: "/real" },
        "dir/up": { link: "../../../../real/passwd" },
        "dir/host": { link: `../../../../../../..${secret}` },
        "dir/absolute": { link: secret },
        "dir/proc": { link: "/proc/self/root" },
        "loop/a": { link: "b" },
        "loop/b": { link: "a" },
        fifo: { node: 0o010666 },
        device: { node: 0o020666, device: [1, 5] },
        "hidden/file": "x",
        "kept/file": "low",
        through: { link: "kept" },
      });
      const two = await b.layer(
        "two",
        { "hidden/file": "whiteout!", kept: "opaque!", "kept/other": "y", "big/file": "0123456789" },
        one,
      );
      const read = async (path: string, limit = LIMIT): Promise<string | undefined> =>
        (await b.subject.readFile(two, path, limit))?.toString();
      assert.equal(await read("/etc/passwd"), "root:x");
      assert.equal(await read("etc/../real/./passwd"), "root:x");
      assert.equal(await read("../../real/passwd"), "root:x");
      assert.equal(await read("dir/up"), "root:x");
      assert.equal(await read("through/other"), "y");
      for (const path of [
        "dir/host",
        "dir/absolute",
        "dir/proc" + secret,
        "loop/a",
        "fifo",
        "device",
        "hidden/file",
        "kept/file",
        "through/file",
        "nothing",
        "dir",
        "",
        "/",
        "etc/passwd/",
        "etc/passwd/x",
        "\0",
        "x".repeat(300),
      ]) {
        assert.equal(await read(path), undefined, path);
      }
      const kindOf = (path: string): string | undefined => b.subject.fileKind(two, path);
      for (const path of ["etc", "/real/", "", "/", "dir/../..", "through/."])
        assert.equal(kindOf(path), "directory", path);
      for (const path of ["etc/passwd", "dir/up"]) assert.equal(kindOf(path), "file", path);
      for (const path of ["fifo", "device"]) assert.equal(kindOf(path), "other", path);
      for (const path of ["dir/host", "hidden", "loop/a", "etc/passwd/", "fifo/x", "nothing"])
        assert.equal(kindOf(path), path === "hidden" ? "directory" : undefined, path);
      assert.throws(() => b.subject.fileKind(digestOf("none"), ""), kind("not-found"));
      await assert.rejects(read("big/file", 9), kind("resource-exhausted"));
      assert.equal(await read("big/file", 10), "0123456789");
      await assert.rejects(b.subject.readFile(digestOf("none"), "x", 1), kind("not-found"));
    });

    test("refusals", async (t) => {
      const b = bench(t);
      const one = await b.layer("one", { file: "x" });
      const two = await b.layer("two", { file: "y" }, one);
      await b.subject.prepare(KEY, two);
      await assert.rejects(b.subject.prepare(KEY, two), kind("already-exists"));
      await assert.rejects(b.subject.view(KEY, two), kind("already-exists"));
      await assert.rejects(b.subject.prepare(OTHER, digestOf("none")), kind("not-found"));
      for (const key of ["..", "../x", "", "a/b", ".", "a\0b"]) {
        await assert.rejects(b.subject.prepare(key, two), kind("invalid-argument"), key);
      }
      assert.throws(() => b.subject.mount(OTHER), kind("not-found"));
      await assert.rejects(b.subject.remove(one), kind("failed-precondition"));
      await assert.rejects(b.subject.remove(two), kind("failed-precondition"));
      await assert.rejects(b.subject.layerRemove(digestOf("one")), kind("failed-precondition"));
      await assert.rejects(b.subject.layerBegin(digestOf("one")), kind("already-exists"));
      await assert.rejects(b.subject.layerCommit(digestOf("none"), USAGE), kind("failed-precondition"));
      await assert.rejects(b.subject.commit(digestOf("c"), digestOf("none"), undefined), kind("not-found"));
      await assert.rejects(
        b.subject.commit(digestOf("c"), digestOf("one"), digestOf("none")),
        kind("not-found"),
      );
      await assert.rejects(b.subject.commit(one, digestOf("two"), undefined), kind("already-exists"));
      await b.subject.remove(KEY);
      await b.subject.remove(two);
      await b.subject.remove(one);
      await b.subject.layerRemove(digestOf("one"));
      assert.deepEqual(b.subject.layers(), [{ diffId: digestOf("two"), usage: USAGE }]);
    });

    test("what says so is idempotent, and equal commits share the work", async (t) => {
      const b = bench(t);
      const one = await b.layer("one", { file: "x" });
      await b.subject.commit(one, digestOf("one"), undefined);
      const chain = digestOf("together");
      await b.layer("two", { other: "y" }, one);
      await Promise.all([1, 2, 3].map(async () => b.subject.commit(chain, digestOf("two"), one)));
      await b.subject.layerAbort(digestOf("none"));
      await b.subject.layerAbort(digestOf("one"));
      await b.subject.layerRemove(digestOf("none"));
      await b.subject.remove("f".repeat(64));
      await b.subject.layerCommit(digestOf("one"), USAGE);
      assert.ok(b.subject.hasLayer(digestOf("one")));
      assert.equal((await b.subject.readFile(chain, "other", LIMIT))?.toString(), "y");
    });

    test("the parent of a snapshot that is being made is not removed", async (t) => {
      const b = bench(t);
      const one = await b.layer("one", { file: "x" });
      const making = b.subject.prepare(KEY, one);
      const removal = assert.rejects(b.subject.remove(one), kind("failed-precondition"));
      await Promise.all([making, removal]);
      await b.subject.remove(KEY);
      await b.subject.remove(one);
    });

    test("after a restart records are there and all else is collected", async (t) => {
      const b = bench(t);
      const one = await b.layer("one", { file: "x" });
      await b.subject.prepare(KEY, one);
      await b.subject.layerBegin(digestOf("cut off"));
      fs.mkdirSync(join(b.directory, "active", OTHER, "fs"), { recursive: true });
      fs.mkdirSync(join(b.directory, "trash", "old", "deep"), { recursive: true });
      const list = b.subject.list();
      const mount = b.subject.mount(KEY);
      const reopened = b.open();
      await reopened.collect();
      await reopened.settled();
      assert.deepEqual(reopened.list(), list);
      assert.deepEqual(reopened.mount(KEY), mount);
      assert.deepEqual(fs.readdirSync(join(b.directory, "active")), [KEY]);
      assert.deepEqual(fs.readdirSync(join(b.directory, "layers")), [digestHex(digestOf("one"))]);
      assert.deepEqual(fs.readdirSync(join(b.directory, "trash")), []);
      await assert.rejects(reopened.remove(one), kind("failed-precondition"));
      assert.equal((await reopened.readFile(one, "file", LIMIT))?.toString(), "x");
    });

    test("a layer that is begun again starts empty, an aborted one is gone", async (t) => {
      const b = bench(t);
      const { directory } = await b.subject.layerBegin(digestOf("one"));
      fs.writeFileSync(join(directory, "left"), "x");
      assert.deepEqual(fs.readdirSync((await b.subject.layerBegin(digestOf("one"))).directory), []);
      await b.subject.layerAbort(digestOf("one"));
      assert.ok(!fs.existsSync(directory));
      await assert.rejects(b.subject.layerCommit(digestOf("one"), USAGE), kind("failed-precondition"));
    });

    test("a tree deeper than descriptors and paths reach is measured and removed", async (t) => {
      const b = bench(t);
      const mount = await b.subject.prepare(KEY, undefined);
      const upper = mount.type === "bind" ? mount.source : (mount.upper ?? "");
      // A process of its own goes down step by step; no path is this long.
      const make = `const fs = require("node:fs");
        for (let i = 0; i < 3000; i++) { fs.mkdirSync("ddd"); process.chdir("ddd"); }
        fs.writeFileSync("file", "x");`;
      execFileSync(process.execPath, ["-e", make], { cwd: upper });
      assert.equal((await b.subject.usage(KEY)).inodes, 3002);
      await b.subject.remove(KEY);
      await b.subject.settled();
      assert.deepEqual(fs.readdirSync(join(b.directory, "trash")), []);
    });
  });
}
