/**
 * Layers made to leave their directory, and mutations of good ones. Each test has a host beside the layer, which has to
 * be exactly as it was. Needs root, as a hostile layer is dangerous to nobody else.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { type TestContext, describe, test } from "node:test";
import { GantryError } from "../../base/errors.ts";
import { type FakeEntry, fakeEntry, fakeTar, paxBody, setChecksum } from "./fake-tar.ts";
import { LayerWriter } from "./layer-writer.ts";
import { TarReader } from "./tar-reader.ts";
import { UnpackBench } from "./unpack-fixture-test.ts";

/** A bench with files on the host that must not change. */
function hostileBench(t: TestContext): UnpackBench & { host: string; hostIsWhole: () => void } {
  const bench = new UnpackBench(t);
  const host = join(bench.root, "host");
  fs.mkdirSync(join(host, "directory"), { recursive: true });
  fs.writeFileSync(join(host, "file"), "host", { mode: 0o600 });
  const picture = (): string => {
    const lines: string[] = [];
    for (const path of ["", "directory", "file"]) {
      const { mode, uid, size, mtimeMs, ctimeMs, nlink } = fs.lstatSync(join(host, path));
      lines.push(JSON.stringify([path, mode, uid, size, mtimeMs, ctimeMs, nlink]));
    }
    return [...lines, ...fs.readdirSync(host), ...fs.readdirSync(join(host, "directory"))].join("\n");
  };
  const before = picture();
  const hostIsWhole = (): void => assert.equal(picture(), before);
  return Object.assign(bench, { host, hostIsWhole });
}

const REFUSED = { kind: "invalid-argument" };

describe("hostile layers", () => {
  test("names that lead out are refused, and named", async (t) => {
    const b = hostileBench(t);
    for (const name of ["../host/file", "a/../../host/file", "/../host/file", "..", "dir/../../x/"]) {
      for (const pax of [undefined, { path: name }]) {
        const entry = fakeTar({ name: "good", body: "x" }, { name, body: "evil", ...(pax && { pax }) });
        await assert.rejects(b.unpack(entry), {
          ...REFUSED,
          message: new RegExp(`entry ${JSON.stringify(name)}`),
        });
        b.hostIsWhole();
      }
    }
  });

  test("absolute names are names in the layer", async (t) => {
    const b = hostileBench(t);
    await b.unpack(fakeTar({ name: join(b.host, "file"), body: "mine" }));
    assert.equal(fs.readFileSync(b.path(b.host, "file"), "utf8"), "mine");
    b.hostIsWhole();
  });

  test("a file through a link stays in the layer, wherever the link leads", async (t) => {
    const b = hostileBench(t);
    const targets = [
      b.host,
      `../host`,
      `../../../../../../../../..${b.host}`,
      "/proc/self/root",
      "/proc/self/cwd",
    ];
    for (const link of targets) {
      await b.unpack(
        fakeTar(
          { name: "link", type: "2", link },
          { name: "link/file", body: "evil" },
          { name: "link/new/deep", body: "x" },
        ),
      );
      assert.equal(fs.readlinkSync(b.path("link")), link);
      b.hostIsWhole();
    }
    // As the container will see it: "/" is the layer.
    await b.unpack(
      fakeTar(
        { name: "usr/lib/" },
        { name: "lib", type: "2", link: "/usr/lib" },
        { name: "lib/x", body: "y" },
      ),
    );
    assert.equal(fs.readFileSync(b.path("usr/lib/x"), "utf8"), "y");
    await b.unpack(fakeTar({ name: "lib64", type: "2", link: "usr/lib64" }, { name: "lib64/x", body: "y" }));
    assert.equal(fs.readFileSync(b.path("usr/lib64/x"), "utf8"), "y");
  });

  test("chains and loops of links", async (t) => {
    const b = hostileBench(t);
    const chain = Array.from({ length: 100 }, (_, i) => ({ name: `l${i}`, type: "2", link: `l${i + 1}` }));
    await assert.rejects(b.unpack(fakeTar(...chain, { name: "l0/x", body: "x" })), REFUSED);
    const loop = [
      { name: "a", type: "2", link: "b" },
      { name: "b", type: "2", link: "a" },
    ];
    await assert.rejects(b.unpack(fakeTar(...loop, { name: "a/x", body: "x" })), REFUSED);
    await assert.rejects(b.unpack(fakeTar({ name: "f", body: "x" }, { name: "f/x", body: "x" })), {
      ...REFUSED,
      message: /entry "f\/x"/,
    });
  });

  test("a last component that is a link is replaced, not followed", async (t) => {
    const b = hostileBench(t);
    for (const link of [join(b.host, "file"), "../host/file"]) {
      const evil: FakeEntry[] = [
        { name: "x", body: "evil", mode: 0o4777, uid: 7 },
        { name: "x/", mode: 0o777, uid: 7 },
        { name: "x", type: "6", mode: 0o777, uid: 7 },
        { name: "x", type: "3", mode: 0o777, major: 1, minor: 3 },
        { name: "x", type: "2", link: "other", uid: 7 },
      ];
      for (const entry of evil) {
        await b.unpack(fakeTar({ name: "x", type: "2", link }, entry));
        b.hostIsWhole();
      }
    }
    await b.unpack(
      fakeTar(
        { name: "d", type: "2", link: join(b.host, "directory") },
        { name: "d/", mode: 0o777, mtime: 1 },
      ),
    );
    assert.ok(b.stat("d").isDirectory());
    b.hostIsWhole();
  });

  test("a hard link to a link is the link (CVE-2021-32760)", async (t) => {
    const b = hostileBench(t);
    const file = join(b.host, "file");
    await b.unpack(
      fakeTar(
        { name: "link", type: "2", link: file },
        { name: "hard", type: "1", link: "link", mode: 0o7777, uid: 7, pax: { "SCHILY.xattr.user.x": "y" } },
        { name: "hard2", type: "1", link: "hard", mode: 0o7777 },
      ),
    );
    assert.equal(fs.readlinkSync(b.path("hard")), file);
    b.hostIsWhole();
    await b.unpack(
      fakeTar(
        { name: "link", type: "2", link: file },
        { name: "h", type: "1", link: "link" },
        { name: "h", body: "e" },
      ),
    );
    assert.equal(fs.readFileSync(b.path("h"), "utf8"), "e");
    b.hostIsWhole();
  });

  test("hard links to what is not in the layer are refused", async (t) => {
    const b = hostileBench(t);
    for (const link of ["../host/file", join(b.host, "file"), "missing", "", ".", "dir"]) {
      const tar = fakeTar({ name: "dir/" }, { name: "hard", type: "1", link });
      await assert.rejects(b.unpack(tar), { ...REFUSED, message: /entry "(hard|\.\.\/host\/file)"/ }, link);
      b.hostIsWhole();
    }
    const through = fakeTar(
      { name: "out", type: "2", link: b.host },
      { name: "hard", type: "1", link: "out/file" },
    );
    await assert.rejects(b.unpack(through), REFUSED);
    b.hostIsWhole();
  });

  test("a directory that becomes a link between two of its entries (CVE-2025-47290)", async (t) => {
    const b = hostileBench(t);
    await b.unpack(
      fakeTar(
        { name: "d/" },
        { name: "d/sub/" },
        { name: "d/sub/one", body: "x" },
        { name: "d", type: "2", link: b.root },
        { name: "d/host/file", body: "evil" },
        { name: "d/sub/two", body: "x" },
        { name: "d/host/directory/", mode: 0o777, mtime: 1 },
      ),
    );
    b.hostIsWhole();
    assert.ok(fs.existsSync(b.path(b.root, "sub/two")));
    await b.unpack(
      fakeTar(
        { name: "a", type: "2", link: "real" },
        { name: "real/" },
        { name: "a/one", body: "x" },
        { name: "a", type: "2", link: b.host },
        { name: "a/file", body: "evil" },
      ),
    );
    b.hostIsWhole();
    assert.deepEqual(fs.readdirSync(b.path("real")), ["one"]);
  });

  test("whiteouts of nothing, and through links", async (t) => {
    const b = hostileBench(t);
    for (const name of [".wh..", ".wh...", ".wh.", "d/.wh.."]) {
      for (const whiteouts of ["overlay", "oci"] as const) {
        await assert.rejects(b.unpack(fakeTar({ name }), { whiteouts }), REFUSED, name);
      }
    }
    await b.unpack(
      fakeTar(
        { name: "out", type: "2", link: b.host },
        { name: "out/.wh.file" },
        { name: "out/.wh..wh..opq" },
        { name: "out/directory/.wh..wh..opq" },
      ),
    );
    b.hostIsWhole();
  });

  test("names that no file can have", async (t) => {
    const b = hostileBench(t);
    const bad: FakeEntry[] = [
      { name: "", body: "x" },
      { name: ".", body: "x" },
      { name: "./", type: "2", link: "x" },
      { name: "x", pax: { path: "n".repeat(300) } },
      { name: "x", pax: { path: "d/".repeat(3000) } },
      { name: "x", pax: { path: "a\0b" } },
      { name: "x", type: "2", link: "" },
      { name: "x", type: "2", pax: { linkpath: "l".repeat(5000) } },
      { name: "x", type: "2", pax: { linkpath: "a\0b" } },
      { name: "x", pax: { "SCHILY.xattr.": "v" } },
      { name: "x", type: "Q" },
    ];
    for (const entry of bad) {
      const tar = fakeTar(entry);
      await assert.rejects(b.unpack(tar), (error) => {
        assert.ok(error instanceof GantryError, String(error));
        assert.equal(error.kind, "invalid-argument", error.message);
        return /entry "/.test(error.message) && error.message.length < 1000;
      });
    }
  });

  test("sizes that lie", async (t) => {
    const b = hostileBench(t);
    const sparse = {
      "GNU.sparse.size": String(10 * 2 ** 30),
      "GNU.sparse.map": `0,512,${9 * 2 ** 30},1048576`,
    };
    const short = fakeEntry({ name: "sparse", body: Buffer.alloc(1024), size: 512 + 1048576, pax: sparse });
    await assert.rejects(b.unpack(short), { ...REFUSED, message: /entry "sparse": archive ends/ });
    assert.ok(!fs.existsSync(b.path("sparse")) || b.stat("sparse").blocks * 512 < 1 << 20);
    await assert.rejects(b.unpack(fakeEntry({ name: "big", size: 0o77777777777, body: "x" })), {
      ...REFUSED,
      message: /entry "big": archive ends/,
    });
    const huge = { "GNU.sparse.size": String(2 ** 53 - 1), "GNU.sparse.map": "" };
    await assert.rejects(b.unpack(fakeTar({ name: "huge", pax: huge })), {
      ...REFUSED,
      message: /EFBIG|EINVAL/,
    });
    const whole = { "GNU.sparse.size": String(10 * 2 ** 30), "GNU.sparse.map": "0,512" };
    await b.unpack(fakeTar({ name: "sparse", body: Buffer.alloc(512, "x"), pax: whole }));
    assert.equal(b.stat("sparse").size, 10 * 2 ** 30);
    assert.ok(b.stat("sparse").blocks <= 16);
  });

  test("mutations of a good layer change nothing outside, and the archive is blamed", (t) => {
    const b = hostileBench(t);
    const up = "../host";
    const archive = fakeTar(
      { name: "dir/", mode: 0o755 },
      { name: "dir/file", body: "x".repeat(600), mode: 0o4755 },
      { name: "out", type: "2", link: b.host },
      { name: "out/file", body: "evil" },
      { name: "up", type: "2", link: up },
      { name: "up/directory/.wh..wh..opq" },
      { name: "hard", type: "1", link: "out" },
      { name: "xx/host/file", body: "evil", pax: { path: "zz/host/file", mtime: "1.5" } },
      fakeEntry({ name: "g", type: "g", body: paxBody({ comment: "c" }) }),
      { name: "fifo", type: "6" },
      { name: ".wh.dir" },
    );
    let seed = 4711;
    const random = (below: number): number => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return (seed >> 8) % below;
    };
    const interesting = Buffer.from("../x\x00012345/gLKS");
    let accepted = 0;
    for (let round = 0; round < 1500; round++) {
      const mutant = Buffer.from(archive);
      for (let i = random(5); i >= 0; i--) {
        const block = random(mutant.length / 512) * 512;
        // Names, links and types are where an escape would be.
        const at = block + [random(30), 156, 157 + random(30), random(512)][random(4)]!;
        mutant[at] = random(3) ? (interesting[random(interesting.length)] ?? 0) : random(256);
        const header = mutant.subarray(block, block + 512);
        if (header.toString("latin1", 257, 262) === "ustar") setChecksum(header);
      }
      fs.rmSync(b.layer, { recursive: true, force: true });
      fs.mkdirSync(b.layer);
      const writer = new LayerWriter(b.layer, random(2) ? "overlay" : "oci");
      try {
        const reader = new TarReader(writer);
        const size = 512 + random(4096);
        for (let at = 0; at < mutant.length; at += size) {
          const chunk = mutant.subarray(at, at + size);
          reader.write(chunk);
          writer.flush(chunk);
        }
        reader.end();
        writer.finish();
        accepted += 1;
      } catch (error) {
        if (!(error instanceof GantryError) || error.kind !== "invalid-argument") throw error;
      } finally {
        writer.close();
      }
      b.hostIsWhole();
    }
    assert.ok(accepted > 50 && accepted < 1450, `${accepted} of 1500 accepted`);
  });
});
