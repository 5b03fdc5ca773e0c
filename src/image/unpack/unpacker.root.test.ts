/** The unpacker with real workers and files. Needs root, for owners, devices and overlayfs attributes. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { fakeEntry, fakeTar } from "./fake-tar.ts";
import { UnpackBench, chunksOf, sha256 } from "./unpack-fixture-test.ts";

const SIGNAL = new AbortController().signal;

function opaque(path: string): string {
  return execFileSync(
    "getfattr",
    ["--absolute-names", "--only-values", "-n", "trusted.overlay.opaque", path],
    {
      stdio: ["ignore", "pipe", "ignore"],
    },
  ).toString();
}

describe("unpacker", () => {
  test("every compression, detected or named", async (t) => {
    const b = new UnpackBench(t);
    const tar = fakeTar({ name: "file", body: "content".repeat(100_000) });
    const half = tar.length >> 1;
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]);
    const blobs = {
      gzip: gzipSync(tar),
      "gzip, two members": Buffer.concat([gzipSync(tar.subarray(0, half)), gzipSync(tar.subarray(half))]),
      "gzip, trailing zeros": Buffer.concat([gzipSync(tar), Buffer.alloc(700_000)]),
      zstd: zstdCompressSync(tar),
      "zstd, two frames": Buffer.concat([
        zstdCompressSync(tar.subarray(0, half)),
        zstdCompressSync(tar.subarray(half)),
      ]),
      "zstd, skippable frames": Buffer.concat([skippable, zstdCompressSync(tar), skippable]),
      none: tar,
    };
    for (const [name, blob] of Object.entries(blobs)) {
      for (const compression of ["auto", name.split(",")[0] as "gzip" | "zstd" | "none"] as const) {
        fs.rmSync(b.layer, { recursive: true });
        fs.mkdirSync(b.layer);
        const result = await b.unpacker.unpack(
          b.request(tar, blob, { compression, source: chunksOf(blob, 777) }),
          SIGNAL,
        );
        assert.equal(result.blobDigest, sha256(blob), name);
        assert.equal(result.diffId, sha256(tar), name);
        assert.equal(fs.readFileSync(b.path("file"), "utf8"), "content".repeat(100_000), name);
      }
    }
  });

  test("a tree with everything in it becomes what GNU tar makes of it", async (t) => {
    const b = new UnpackBench(t);
    const source = join(b.root, "source");
    const make = `set -e
      mkdir -p "$1/a/b/empty" "$1/a/sticky" && cd "$1"
      head -c 3000000 /dev/urandom > a/large && echo small > a/small && : > a/none
      ln a/small a/b/hard && ln -s ../small a/b/soft && ln -s dangling a/dangling && ln a/dangling a/hard-to-soft
      mkfifo a/fifo && mknod a/char c 1 3 && mknod a/block b 7 9
      truncate -s 5000000 a/sparse && printf middle | dd of=a/sparse bs=1 seek=2000000 conv=notrunc status=none
      truncate -s 3000000 a/hole
      for i in $(seq 1 60); do printf x | dd of=a/fragments bs=1 seek=$((i*20000)) conv=notrunc status=none; done
      printf '%0200d' 0 > a/b/$(printf 'n%.0s' $(seq 1 240)) && mkdir -p $(printf 'directory/%.0s' $(seq 1 40))leaf
      chown 1000:2000 a/small a/large a/fifo && chown -h 5:6 a/dangling && chown 70000:80000 a/b/empty
      chmod 4755 a/small && chmod 2775 a/b && chmod 1777 a/sticky && chmod 0 a/none && chmod 751 .
      setfattr -n user.text -v value a/large && setcap cap_net_raw+ep a/large && setfattr -n user.dir -v d a/b
      touch -h -d '2001-02-03 04:05:06.789012345' a/b/soft a/large a/b/hard a && touch -d '1969-12-31 23:00:00.5' a/none
      touch -d '2020-01-01' "$(printf 'a/latin\\351')"`;
    execFileSync("sh", ["-c", make, "sh", source]);
    for (const format of [
      "--format=pax --xattrs --sparse",
      "--format=gnu --sparse",
      "--format=pax --sparse --sparse-version=0.1",
    ]) {
      const archive = join(b.root, "archive.tar");
      const flags = format.split(" ");
      execFileSync("tar", [
        "-C",
        source,
        ...flags,
        "--xattrs-include=*",
        "--numeric-owner",
        "-cf",
        archive,
        ".",
      ]);
      const reference = join(b.root, "reference");
      fs.rmSync(reference, { recursive: true, force: true });
      fs.mkdirSync(reference);
      execFileSync("tar", [
        "-C",
        reference,
        "-xpf",
        archive,
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "--same-owner",
      ]);
      const { usage } = await b.unpack(fs.readFileSync(archive));
      assert.deepEqual(describeTree(b.layer), describeTree(reference), format);
      const blocks = Number(execFileSync("du", ["-s", "--block-size=1", b.layer]).toString().split("\t")[0]);
      // Until they are written back, the filesystem has not counted the blocks of its own lists.
      assert.ok(Math.abs(usage.bytes - blocks) <= 1 << 16, `${usage.bytes} instead of ${blocks}`);
      assert.ok(
        b.stat("a/hole").blocks === 0 && b.stat("a/sparse").blocks * 512 < 100_000,
        "holes stay holes",
      );
    }
  });

  test("missing parents, replaced entries, times of directories", async (t) => {
    const b = new UnpackBench(t);
    await b.unpack(
      fakeTar(
        { name: "dir/", mtime: 1000, mode: 0o2770, gid: 50 },
        { name: "dir/inner", body: "x" },
        { name: "implied/deep/file", body: "x" },
        { name: "swap", body: "file" },
        { name: "swap/", mtime: 5 },
        { name: "swap/inner", body: "x" },
        { name: "tree/a/b", body: "x" },
        { name: "tree", type: "2", link: "dir" },
        { name: "later", type: "2", link: "nowhere" },
        { name: "later", body: "now a file" },
        { name: "twice", body: "long content" },
        { name: "hard", type: "1", link: "twice" },
        { name: "twice", body: "short" },
        { name: "self", body: "x" },
        { name: "self", type: "1", link: "self" },
        { name: "./", mode: 0o711, uid: 3, mtime: 77 },
      ),
    );
    assert.equal(b.stat("dir").mtimeMs, 1_000_000);
    assert.equal(b.stat("dir").mode & 0o7777, 0o2770);
    assert.deepEqual([b.stat("dir/inner").gid, b.stat("implied/deep").mode & 0o7777], [0, 0o755]);
    assert.deepEqual(fs.readdirSync(b.path("swap")), ["inner"]);
    assert.equal(fs.readlinkSync(b.path("tree")), "dir");
    assert.equal(fs.readFileSync(b.path("later"), "utf8"), "now a file");
    assert.equal(fs.readFileSync(b.path("twice"), "utf8"), "short");
    assert.equal(fs.readFileSync(b.path("hard"), "utf8"), "long content");
    assert.equal(fs.readFileSync(b.path("self"), "utf8"), "x");
    assert.deepEqual([b.stat(".").mode & 0o7777, b.stat(".").uid, b.stat(".").mtimeMs], [0o711, 3, 77_000]);
  });

  test("whiteouts as overlayfs has them", async (t) => {
    const b = new UnpackBench(t);
    await b.unpack(
      fakeTar(
        { name: "dir/.wh.gone" },
        { name: "own", body: "kept" },
        { name: ".wh.own" },
        { name: "owndir/" },
        { name: ".wh.owndir" },
        { name: ".wh.first" },
        { name: "first/", mode: 0o700 },
        { name: ".wh.through" },
        { name: "through/file", body: "x" },
        { name: "opaque/.wh..wh..opq" },
        { name: "opaque/file", body: "x" },
        { name: ".wh..wh.plnk/", mode: 0o700 },
      ),
    );
    const gone = b.stat("dir/gone");
    assert.ok(gone.isCharacterDevice() && gone.rdev === 0);
    assert.equal(fs.readFileSync(b.path("own"), "utf8"), "kept");
    for (const path of ["owndir", "first", "through", "opaque"])
      assert.equal(opaque(b.path(path)), "y", path);
    assert.throws(() => opaque(b.path("dir")));
    assert.ok(!fs.existsSync(b.path(".wh..wh.plnk")));
    await b.unpack(fakeTar({ name: ".wh..wh..opq" }));
    assert.equal(opaque(b.layer), "y");
  });

  test("whiteouts as OCI has them", async (t) => {
    const b = new UnpackBench(t);
    const names = ["dir/.wh.gone", "dir/.wh..wh..opq"];
    await b.unpack(fakeTar(...names.map((name) => ({ name, body: "ignored", mode: 0o4777 }))), {
      whiteouts: "oci",
    });
    for (const name of names) assert.deepEqual([b.stat(name).size, b.stat(name).mode & 0o7777], [0, 0o600]);
  });

  test("attributes that are the host's to give are left out", async (t) => {
    const b = new UnpackBench(t);
    const pax = {
      "SCHILY.xattr.trusted.overlay.redirect": "/etc",
      "SCHILY.xattr.trusted.overlay.opaque": "y",
      "SCHILY.xattr.security.selinux": "system_u:object_r:bin_t:s0",
      "SCHILY.xattr.user.kept": "yes",
    };
    await b.unpack(fakeTar({ name: "dir/", pax }, { name: "file", pax }));
    for (const name of ["dir", "file"]) {
      const names = execFileSync("getfattr", ["--absolute-names", "-m", "-", b.path(name)]).toString();
      assert.deepEqual(names.match(/^[a-z]+\.\S+$/gm), ["user.kept"]);
    }
  });

  test("kept blob is the blob; nothing of it stays after a failure", async (t) => {
    const b = new UnpackBench(t);
    const tar = fakeTar({ name: "file", body: "x" });
    const keepBlob = join(b.root, "blob");
    await b.unpack(tar, { keepBlob });
    assert.deepEqual(fs.readFileSync(keepBlob), gzipSync(tar, { level: 1 }));
    assert.equal(fs.statSync(keepBlob).mode & 0o777, 0o600);
    fs.rmSync(keepBlob);
    await assert.rejects(b.unpack(tar, { keepBlob, expectedDiffId: sha256(Buffer.from("")) }), {
      kind: "data-loss",
    });
    assert.ok(!fs.existsSync(keepBlob));
  });

  test("what is wrong with a blob is data-loss, with an archive invalid-argument", async (t) => {
    const b = new UnpackBench(t);
    const tar = fakeTar({ name: "file", body: Buffer.alloc(1_000_000, "content") });
    const blob = gzipSync(tar);
    const other = sha256(Buffer.from("other"));
    const flipped = Buffer.from(blob);
    flipped[blob.length >> 1] = (flipped[blob.length >> 1] ?? 0) ^ 0xff;
    const sent = (bytes: Buffer): { source: AsyncIterable<Uint8Array> } => ({ source: chunksOf(bytes, 100) });
    await assert.rejects(b.unpack(tar, { expectedBlobDigest: other }), { kind: "data-loss" });
    await assert.rejects(b.unpack(tar, { expectedDiffId: other }), { kind: "data-loss" });
    const run = async (changes: object): Promise<unknown> =>
      b.unpacker.unpack(b.request(tar, blob, changes), SIGNAL);
    await assert.rejects(run(sent(flipped)), { kind: "data-loss" });
    await assert.rejects(run(sent(blob.subarray(0, 1000))), { kind: "data-loss" });
    await assert.rejects(run(sent(Buffer.concat([blob, Buffer.alloc(1)]))), { kind: "data-loss" });
    await assert.rejects(run({ expectedSizeBytes: 10 }), { kind: "data-loss" });
    // The registry has it like this: no download will mend it.
    for (const bad of [blob.subarray(0, 1000), Buffer.from("no archive at all".repeat(100)), flipped]) {
      const request = b.request(tar, Buffer.from(bad));
      await assert.rejects(b.unpacker.unpack(request, SIGNAL), { kind: "invalid-argument" });
    }
    const truncated = tar.subarray(0, 5000);
    await assert.rejects(b.unpack(Buffer.from(truncated)), {
      kind: "invalid-argument",
      message: /entry "file"/,
    });
  });

  test("a source that fails, or is cut off, ends the work and is ended", async (t) => {
    const b = new UnpackBench(t);
    const tar = fakeTar({ name: "file", body: Buffer.alloc(5_000_000, "x") });
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield tar.subarray(0, 1_000_000);
      throw new Error("connection reset");
    }
    await assert.rejects(
      b.unpacker.unpack(b.request(tar, tar, { source: failing() }), SIGNAL),
      /connection reset/,
    );
    const stuck = new Readable({ read: () => undefined });
    stuck.push(tar.subarray(0, 1_000_000));
    const controller = new AbortController();
    const running = b.unpacker.unpack(b.request(tar, tar, { source: stuck }), controller.signal);
    setTimeout(() => controller.abort(), 50);
    await assert.rejects(running, { name: "AbortError" });
    assert.ok(stuck.destroyed);
    await assert.rejects(b.unpacker.unpack(b.request(tar, tar), controller.signal), { name: "AbortError" });
    // The worker is fit for more.
    await b.unpack(tar);
    assert.equal(b.stat("file").size, 5_000_000);
  });

  test("a worker that fails the archive ends the source", async (t) => {
    const b = new UnpackBench(t, { inFlightBytes: 1 << 19 });
    const tar = fakeTar({ name: "file", body: Buffer.alloc(100_000) });
    let returned = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.alloc(65_536);
      } finally {
        returned = true;
      }
    }
    await assert.rejects(b.unpacker.unpack(b.request(tar, tar, { source: endless() }), SIGNAL), {
      kind: "data-loss",
    });
    assert.ok(returned);
  });

  test("many layers on few workers, and closing cancels what runs", async (t) => {
    const b = new UnpackBench(t, { workers: 2, idleMs: 1 });
    await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const directory = join(b.root, `layer-${i}`);
        fs.mkdirSync(directory);
        const tar = fakeTar({ name: "file", body: Buffer.alloc(300_000 + i, String(i)) });
        await b.unpacker.unpack(b.request(tar, gzipSync(tar), { directory }), SIGNAL);
        assert.equal(fs.statSync(join(directory, "file")).size, 300_000 + i);
      }),
    );
    const stuck = new Readable({ read: () => undefined });
    const running = b.unpacker.unpack(
      b.request(Buffer.alloc(0), Buffer.alloc(10), { source: stuck }),
      SIGNAL,
    );
    setImmediate(() => void b.unpacker.close());
    await assert.rejects(running, { kind: "unavailable" });
    await assert.rejects(b.unpack(Buffer.alloc(1024)), { kind: "unavailable" });
  });

  test("a full disk is resource-exhausted", async (t) => {
    const b = new UnpackBench(t);
    const small = join(b.root, "small");
    fs.mkdirSync(small);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", small]);
    try {
      const tar = fakeTar({ name: "file", body: Buffer.alloc(5_000_000, "x") });
      await assert.rejects(b.unpack(tar, { directory: small }), {
        kind: "resource-exhausted",
        message: /entry "file"/,
      });
    } finally {
      execFileSync("umount", [small]);
    }
  });

  test("a bomb costs disk, not memory", async (t) => {
    const b = new UnpackBench(t);
    const bytes = 1 << 29;
    const header = fakeEntry({ name: "zeros", size: bytes });
    // gzip of half a gigabyte of zeros, made without holding it.
    const script = `(cat "$1"; head -c ${bytes} /dev/zero; head -c 1024 /dev/zero) | gzip -1`;
    const headerFile = join(b.root, "header");
    fs.writeFileSync(headerFile, header);
    const blob = execFileSync("sh", ["-c", script, "sh", headerFile], { maxBuffer: 1 << 26 });
    const before = process.memoryUsage.rss();
    let peak = 0;
    const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 5);
    const request = b.request(Buffer.alloc(0), blob);
    await assert.rejects(b.unpacker.unpack(request, SIGNAL), {
      kind: "data-loss",
      message: /content has the digest/,
    });
    clearInterval(timer);
    assert.equal(b.stat("zeros").size, bytes);
    assert.ok(peak - before < 150 << 20, `grew by ${(peak - before) >> 20} MiB`);
  });
});

/** All that matters of each file of a tree, by path. */
function describeTree(root: string): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const inodes = new Map<bigint, string>();
  const visit = (path: Buffer, name: string): void => {
    const st = fs.lstatSync(path, { bigint: true });
    const first = inodes.get(st.ino) ?? name;
    inodes.set(st.ino, first);
    const attributes = execFileSync("getfattr", [
      "-h",
      "--absolute-names",
      "-d",
      "-m",
      "-",
      "-e",
      "hex",
      path.toString("latin1") === path.toString() ? path.toString() : root,
    ]);
    result[name] = {
      mode: st.mode.toString(8),
      owner: `${st.uid}:${st.gid}`,
      // Of what tar does not list (a directory's size) nothing is compared.
      size: st.isDirectory() ? undefined : st.size,
      mtime: st.mtimeNs,
      device: st.rdev,
      links: st.isDirectory() ? undefined : st.nlink,
      same: first,
      target: st.isSymbolicLink() ? fs.readlinkSync(path, "latin1") : undefined,
      content: st.isFile() ? sha256(fs.readFileSync(path)) : undefined,
      attributes: attributes.toString().split("\n").slice(1).toSorted().join("\n"),
    };
    if (!st.isDirectory()) return;
    for (const child of fs.readdirSync(path, "buffer").toSorted(Buffer.compare)) {
      visit(Buffer.concat([path, Buffer.from("/"), child]), `${name}/${child.toString("latin1")}`);
    }
  };
  visit(Buffer.from(root), "");
  return result;
}
