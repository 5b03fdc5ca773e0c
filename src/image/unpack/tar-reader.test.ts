import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GantryError } from "../../base/errors.ts";
import { type FakeEntry, END_OF_ARCHIVE, fakeEntry, fakeTar, padded, paxBody } from "./fake-tar.ts";
import type { TarEntry } from "./tar-entry.ts";
import { TarReader } from "./tar-reader.ts";

interface Seen {
  entry: TarEntry;
  content: Buffer;
}

/** Reads the archive in chunks of that size. Holes are zeros. */
function read(archive: Buffer, chunkBytes = 1 << 20): Seen[] {
  const seen: Seen[] = [];
  let chunk: Buffer = Buffer.alloc(0);
  const reader = new TarReader({
    entry: (entry, at) => {
      const content =
        entry.type === "file" ? Buffer.from(chunk.subarray(at, at + entry.size)) : Buffer.alloc(0);
      seen.push({ entry, content });
    },
    fileStart: (entry) => void seen.push({ entry, content: Buffer.alloc(Math.min(entry.size, 1 << 20)) }),
    fileData: (entry, at, length, position) => {
      const last = seen.at(-1);
      assert.equal(last?.entry, entry);
      chunk.copy(last.content, position, at, at + length);
    },
    fileEnd: (entry) => assert.equal(seen.at(-1)?.entry, entry),
  });
  for (let at = 0; at < archive.length; at += chunkBytes) {
    chunk = Buffer.from(archive.subarray(at, at + chunkBytes));
    reader.write(chunk);
  }
  reader.end();
  return seen;
}

function only(...entries: (FakeEntry | Buffer)[]): Seen {
  const seen = read(fakeTar(...entries));
  assert.equal(seen.length, 1);
  return seen[0] as Seen;
}

function refused(archive: Buffer, message: RegExp): void {
  assert.throws(
    () => read(archive),
    (error) =>
      error instanceof GantryError && error.kind === "invalid-argument" && message.test(error.message),
  );
}

describe("tar reader", () => {
  test("reads an archive alike in chunks of any size", () => {
    const archive = fakeTar(
      { name: "dir/", mode: 0o1777 },
      { name: "dir/file", body: "x".repeat(1300), mode: 0o4755, uid: 12, gid: 34, mtime: 99 },
      { name: "empty" },
      { name: "link", type: "2", link: "../target" },
      { name: "hard", type: "1", link: "dir/file", size: 700 },
      { name: "device", type: "4", major: 8, minor: 1 },
      {
        name: "long",
        body: "y",
        pax: { path: "p".repeat(300), "SCHILY.xattr.user.a": Buffer.from([0xff, 0, 1]) },
      },
    );
    const whole = read(archive);
    assert.deepEqual(
      whole.map(({ entry }) => [entry.name, entry.type, entry.size]),
      [
        ["dir/", "directory", 0],
        ["dir/file", "file", 1300],
        ["empty", "file", 0],
        ["link", "symlink", 0],
        ["hard", "hardlink", 0],
        ["device", "block", 0],
        ["p".repeat(300), "file", 1],
      ],
    );
    const file = whole[1]?.entry;
    assert.deepEqual([file?.mode, file?.uid, file?.gid, file?.mtimeSeconds], [0o4755, 12, 34, 99]);
    assert.deepEqual([whole[5]?.entry.major, whole[5]?.entry.minor], [8, 1]);
    assert.deepEqual(whole[6]?.entry.xattrs, [{ name: "user.a", value: "\xff\0\x01" }]);
    assert.equal(whole[1]?.content.toString(), "x".repeat(1300));
    for (const size of [1, 7, 511, 512, 513, 1024, 2000])
      assert.deepEqual(read(archive, size), whole, String(size));
  });

  test("names: prefix, GNU long names, pax before all, bytes that are no UTF-8", () => {
    assert.equal(only({ name: "b", prefix: "a/long" }).entry.name, "a/long/b");
    assert.equal(only({ name: "b", prefix: "a", magic: "ustar  \0" }).entry.name, "b");
    const long = `${"n".repeat(400)}\0`;
    const longLink = fakeEntry({ name: "././@LongLink", type: "K", body: `${"t".repeat(200)}\0` });
    const longName = fakeEntry({ name: "././@LongLink", type: "L", body: long });
    const linked = only(longLink, longName, { name: "short", type: "2", link: "short" }).entry;
    assert.deepEqual([linked.name.length, linked.linkName.length], [400, 200]);
    assert.equal(only(longName, { name: "short", pax: { path: "pax" } }).entry.name, "pax");
    const latin = only({ name: "x", patch: (block) => void block.set([0xe9, 0x21], 0) });
    assert.equal(latin.entry.name, "\xe9!");
    const full = "f".repeat(100);
    assert.equal(only({ name: full }).entry.name, full);
  });

  test("numbers: base-256, spaces, negative times, pax sizes and fractions", () => {
    const big = (at: number, length: number, bytes: number[]) => (block: Buffer) => {
      block.fill(0, at, at + length);
      block[at] = 0x80;
      block.set(bytes, at + length - bytes.length);
    };
    assert.equal(only({ name: "x", patch: big(108, 8, [0x7f, 0xff, 0xff, 0xff]) }).entry.uid, 0x7fffffff);
    assert.equal(only({ name: "x", patch: (b) => void b.write("   644 \0", 100) }).entry.mode, 0o644);
    assert.equal(only({ name: "x", patch: (b) => void b.fill(0xff, 136, 148) }).entry.mtimeSeconds, -1);
    const times = only({ name: "x", pax: { mtime: "-1.25", atime: "12.0000000019" } }).entry;
    assert.deepEqual([times.mtimeSeconds, times.mtimeNanoseconds], [-2, 750_000_000]);
    assert.deepEqual([times.atimeSeconds, times.atimeNanoseconds], [12, 1]);
    const pax = only({ name: "x", body: "12345", size: 0, pax: { size: "5", uid: "3000000000", gid: "7" } });
    assert.deepEqual([pax.content.toString(), pax.entry.uid, pax.entry.gid], ["12345", 3_000_000_000, 7]);
  });

  test("global headers hold until taken back", () => {
    const seen = read(
      fakeTar(
        fakeEntry({ name: "g", type: "g", body: paxBody({ uid: "5", comment: "c" }) }),
        { name: "one" },
        { name: "two", uid: 9, pax: { uid: "" } },
        { name: "three", pax: { uid: "6" } },
      ),
    );
    assert.deepEqual(
      seen.map(({ entry }) => entry.uid),
      [5, 9, 6],
    );
  });

  test("an end mark ends it, a missing one is forgiven between entries", () => {
    const one = fakeEntry({ name: "x", body: "1" });
    assert.equal(read(Buffer.concat([one, END_OF_ARCHIVE, one, Buffer.from("garbage")])).length, 1);
    assert.equal(read(one).length, 1);
    assert.equal(read(Buffer.concat([one, Buffer.alloc(512)])).length, 1);
    assert.equal(read(Buffer.alloc(0)).length, 0);
    refused(Buffer.concat([one, Buffer.alloc(512), one]), /zero block/);
  });

  test("sparse files of every format", () => {
    const body = Buffer.concat([Buffer.alloc(512, "a"), Buffer.alloc(512, "b")]);
    const expected = Buffer.alloc(10_000);
    expected.fill("a", 1000, 1512);
    expected.fill("b", 8000, 8512);
    const old = only({
      name: "old",
      type: "S",
      magic: "ustar  \0",
      body,
      patch: (block) => {
        block.fill(0, 345);
        for (const [i, value] of [1000, 512, 8000, 512, 10_000, 0].entries()) {
          block.write(value.toString(8).padStart(11, "0"), 386 + i * 12);
        }
        block.write((10_000).toString(8).padStart(11, "0"), 483);
      },
    });
    const common = { "GNU.sparse.name": "real", "GNU.sparse.size": "10000" };
    const v01 = only({
      name: "GNUSparseFile.0/real",
      body,
      pax: { ...common, "GNU.sparse.numblocks": "2", "GNU.sparse.map": "1000,512,8000,512" },
    });
    const records: [string, string][] = [
      ["GNU.sparse.size", "10000"],
      ["GNU.sparse.offset", "1000"],
      ["GNU.sparse.numbytes", "512"],
      ["GNU.sparse.offset", "8000"],
      ["GNU.sparse.numbytes", "512"],
    ];
    const v00 = only(fakeEntry({ name: "x", type: "x", body: paxBody(records) }), { name: "real", body });
    const map = padded(Buffer.from("2\n1000\n512\n8000\n512\n"));
    const v10 = only({
      name: "GNUSparseFile.0/real",
      body: Buffer.concat([map, body]),
      pax: {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "real",
        "GNU.sparse.realsize": "10000",
      },
    });
    for (const seen of [old, v00, v01, v10]) {
      assert.equal(seen.entry.size, 10_000);
      assert.ok(seen.content.equals(expected), seen.entry.name);
    }
    assert.deepEqual([v00.entry.name, v01.entry.name, v10.entry.name], ["real", "real", "real"]);
  });

  test("sparse maps that lie are refused", () => {
    const pax = (map: string, size = "10000") => ({ "GNU.sparse.size": size, "GNU.sparse.map": map });
    const body = Buffer.alloc(1024);
    refused(fakeTar({ name: "x", body, pax: pax("0,512,256,512") }), /entry "x": .*out of order/);
    refused(fakeTar({ name: "x", body, pax: pax("0,512,9900,512") }), /out of order or of range/);
    refused(fakeTar({ name: "x", body, pax: pax("0,512") }), /map of 512 bytes for a content of 1024/);
    refused(fakeTar({ name: "x", body, pax: pax("0,512,5") }), /odd map/);
    refused(fakeTar({ name: "x", body, pax: pax("0,99999999999999999") }), /not a number/);
    const ahead = (text: string) => ({
      name: "x",
      body: padded(Buffer.from(text)),
      pax: { "GNU.sparse.major": "1", "GNU.sparse.realsize": "10" },
    });
    refused(fakeTar(ahead("999999999\n")), /too many pieces/);
    refused(fakeTar(ahead("x".repeat(512))), /without a count/);
    refused(fakeTar(ahead("3\n0\n")), /longer than the content/);
  });

  test("what is malformed is refused, the entry named", () => {
    const x = fakeEntry({ name: "x", body: "12345" });
    const wrong = Buffer.from(x);
    wrong[0] = 0x79;
    refused(wrong, /wrong checksum/);
    refused(Buffer.concat([x, wrong]), /after entry "x".*checksum/);
    refused(x.subarray(0, 600), /entry "x": archive ends within an entry/);
    refused(x.subarray(0, 300), /archive ends within an entry/);
    refused(fakeEntry({ name: "big", size: 0o77777777777 }), /entry "big": archive ends within/);
    refused(fakeEntry({ name: "x", type: "x", body: paxBody({ path: "y" }) }), /after an extended header/);
    refused(fakeTar({ name: "x", patch: (b) => void b.write("9x", 100) }), /mode is not a number/);
    refused(fakeTar({ name: "x", patch: (b) => void b.fill(0xff, 124, 136) }), /size is negative/);
    refused(fakeTar({ name: "x", patch: (b) => void b.fill(0x91, 124, 136) }), /size is out of range/);
    refused(fakeTar({ name: "x", type: "M" }), /entry "x": unsupported type "M"/);
    refused(fakeTar({ name: "x", type: "x", body: "nonsense" }), /record without a length/);
    refused(fakeTar({ name: "x", type: "x", body: "99 a=b\n" }), /wrong length/);
    refused(fakeTar({ name: "x", type: "x", body: "5 ab\n" }), /without a key/);
    refused(fakeTar({ name: "x", pax: { uid: "4294967295" } }), /uid 4294967295 is out of range/);
    refused(fakeTar({ name: "x", pax: { mtime: "noon" } }), /mtime is not a time/);
    refused(fakeTar({ name: "x", type: "x", size: 0o100000000 }), /extended header of 16777216 bytes/);
    const many = Array.from({ length: 30 }, (_, i) => {
      return fakeEntry({ name: "g", type: "g", body: paxBody({ [`key${i}`]: "v".repeat(50_000) }) });
    });
    refused(fakeTar(...many), /global extended headers are too long/);
  });

  test("mutations of a good archive never crash or hang", () => {
    const archive = fakeTar(
      fakeEntry({ name: "g", type: "g", body: paxBody({ comment: "c" }) }),
      { name: "dir/" },
      { name: "dir/file", body: "x".repeat(700), pax: { mtime: "1.5", "SCHILY.xattr.user.a": "b" } },
      fakeEntry({ name: "././@LongLink", type: "L", body: "n".repeat(200) }),
      {
        name: "sparse",
        body: Buffer.alloc(512),
        pax: { "GNU.sparse.size": "900", "GNU.sparse.map": "100,512" },
      },
      { name: "link", type: "2", link: "dir" },
    );
    let seed = 12345;
    const random = (below: number): number => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed % below;
    };
    let accepted = 0;
    for (let round = 0; round < 3000; round++) {
      const mutant = Buffer.from(archive.subarray(0, random(4) ? archive.length : random(archive.length)));
      for (let i = random(4); i >= 0 && mutant.length > 0; i--) {
        const at = random(mutant.length);
        mutant[at] = random(3) ? random(256) : 0x30 + random(10);
        const block = at - (at % 512);
        // Most mutations get past the checksum, or nothing behind it would be tried.
        if (random(4) && mutant.length >= block + 512) fixChecksum(mutant.subarray(block, block + 512));
      }
      try {
        read(mutant, 1 + random(2000));
        accepted += 1;
      } catch (error) {
        if (!(error instanceof GantryError) || error.kind !== "invalid-argument") throw error;
      }
    }
    assert.ok(accepted > 100 && accepted < 2900, `${accepted} of 3000 accepted`);
  });
});

/** Of what looks like a header only. */
function fixChecksum(block: Buffer): void {
  if (block.toString("latin1", 257, 262) !== "ustar") return;
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
