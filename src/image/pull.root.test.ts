/** Pulling from a real registry, of images pushed by skopeo. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { errorKind } from "../base/errors.ts";
import { DebianRegistry, packDirectory, REGISTRY_USER, type LayerSource } from "./debian-registry.ts";
import { openTestService } from "./fake-service.ts";

const signal = new AbortController().signal;
let open: DebianRegistry;
let closed: DebianRegistry;
const layers: LayerSource[] = [];

before(async () => {
  open = await DebianRegistry.start(false);
  closed = await DebianRegistry.start(true);
  const directory = mkdtempSync(join(tmpdir(), "gantry-pull-"));
  for (const [index, compression] of (["gzip", "zstd", "none"] as const).entries()) {
    const root = join(directory, compression);
    mkdirSync(join(root, "etc"), { recursive: true });
    for (let i = 0; i < 50; i += 1)
      writeFileSync(join(root, "etc", `file-${index}-${i}`), `content ${i} `.repeat(1000));
    layers.push({ compression, tar: await packDirectory(root) });
  }
  rmSync(directory, { recursive: true });
});

after(async () => {
  await open?.stop();
  await closed?.stop();
});

test("an image with gzip, zstd and plain layers, twice at once", async (t) => {
  const service = openTestService();
  t.after(async () => await service.close());
  const id = await open.push("mixed:1", layers);
  const pull = async (): Promise<string> =>
    (await service.images.pull({ reference: `${open.host}/mixed:1` }, signal)).id;
  assert.deepEqual(await Promise.all([pull(), pull()]), [id, id]);
  assert.equal(service.unpacker.unpacked.length, 3, "each layer once");
  assert.equal(await pull(), id);
  const record = service.images.get(`${open.host}/mixed:1`);
  assert.equal(record?.diffIds.length, 3);
  assert.equal(service.unpacker.unpacked.length, 3);
});

test("a mirror for docker.io through certs.d", async (t) => {
  const service = openTestService();
  t.after(async () => await service.close());
  const directory = join(service.directory, "certs.d/docker.io");
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    join(directory, "hosts.toml"),
    `server = "https://registry-1.docker.io"\n[host."http://${open.host}"]\n`,
  );
  const id = await open.push("library/tiny:latest", layers.slice(0, 1));
  const record = await service.images.pull({ reference: "tiny" }, signal);
  assert.equal(record.id, id);
  assert.deepEqual(record.repoTags, ["docker.io/library/tiny:latest"]);
});

test("basic authentication", async (t) => {
  const service = openTestService();
  t.after(async () => await service.close());
  const id = await closed.push("private:1", layers.slice(0, 1));
  const reference = `${closed.host}/private:1`;
  for (const auth of [undefined, { ...REGISTRY_USER, password: "wrong" }]) {
    await assert.rejects(
      service.images.pull({ reference, ...(auth ? { auth } : {}) }, signal),
      (error: unknown) => {
        return errorKind(error) === "unauthenticated" && !String(error).includes("wrong");
      },
    );
  }
  assert.equal((await service.images.pull({ reference, auth: REGISTRY_USER }, signal)).id, id);
  await assert.rejects(
    service.images.pull({ reference }, signal),
    { kind: "unauthenticated" },
    "present, but still refused",
  );
});

test("unknown tags and repositories are not found", async (t) => {
  const service = openTestService();
  t.after(async () => await service.close());
  await open.push("known:1", layers.slice(0, 1));
  for (const reference of [
    `${open.host}/known:2`,
    `${open.host}/unknown:1`,
    `${open.host}/known@sha256:${"0".repeat(64)}`,
  ]) {
    await assert.rejects(service.images.pull({ reference }, signal), { kind: "not-found" }, reference);
  }
});
