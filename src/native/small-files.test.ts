import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, openSync, closeSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { countDescriptors, readSmallFiles } from "./small-files.ts";

const base = mkdtempSync(join(tmpdir(), "gantry-small-files-"));
after(() => rmSync(base, { recursive: true }));

test("every file of every group in every directory, in this order, absent where it is not there", async () => {
  for (const path of ["one/a/x", "one/b/x", "two/a/y"]) {
    mkdirSync(join(base, path, ".."), { recursive: true });
    writeFileSync(join(base, path), `${path}\n`);
  }
  writeFileSync(join(base, "one/a/empty"), "");
  symlinkSync("x", join(base, "one/a/link"));
  const texts = await readSmallFiles(
    [
      { root: join(base, "one"), names: ["x", "empty", "link"] },
      { root: join(base, "two"), names: ["y"] },
    ],
    ["a", "/b", "gone"],
  );
  assert.deepEqual(
    Array.from({ length: 13 }, (_, index) => texts(index)),
    ["one/a/x\n", "", undefined, "two/a/y\n", "one/b/x\n", ...Array<undefined>(8).fill(undefined)],
  );
});

test("sizes round the buffer's, and files of the kernel that give little at a time", async () => {
  const sizes = [1, 2047, 2048, 2049, 16_383, 16_384, 16_385, 300_000];
  for (const size of sizes) writeFileSync(join(base, String(size)), "z".repeat(size));
  const texts = await readSmallFiles([{ root: base, names: sizes.map(String) }], ["."]);
  assert.deepEqual(
    sizes.map((_, index) => texts(index)?.length),
    sizes,
  );
  const proc = await readSmallFiles([{ root: "/proc", names: ["mounts", "cpuinfo"] }], ["self"]);
  assert.match(proc(0) ?? "", / \/proc /);
  assert.equal(proc(1), undefined);
});

test("nothing asked for is nothing, and a path longer than any is not there", async () => {
  assert.equal((await readSmallFiles([{ root: base, names: ["1"] }], []))(0), undefined);
  assert.equal((await readSmallFiles([], ["a"]))(0), undefined);
  assert.equal((await readSmallFiles([{ root: base, names: ["1"] }], ["x/".repeat(4000)]))(0), undefined);
});

test("descriptors and sockets of processes; none of one that is not there", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const [before] = await countDescriptors([process.pid]);
  const fds = Array.from({ length: 5 }, () => openSync("/dev/null", "r"));
  const [own, gone] = await countDescriptors([process.pid, 2 ** 31 - 1]);
  for (const fd of fds) closeSync(fd);
  server.close();
  assert.ok(before && own);
  assert.equal(own.descriptors, before.descriptors + 5);
  assert.ok(own.sockets >= 1);
  assert.deepEqual(gone, { descriptors: 0, sockets: 0 });
});
