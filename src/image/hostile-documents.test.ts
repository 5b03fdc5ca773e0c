/** Whatever a registry sends, the reader answers with a value or with an error of a kind; never with a bug. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorKind, GantryError } from "../base/errors.ts";
import { parseImageConfig } from "./image-config.ts";
import { parseManifest } from "./manifest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "./media-type.ts";
import { choosePlatform } from "./platform.ts";
import { sha256 } from "./registry/fake-registry.ts";

const DIGEST = sha256(Buffer.from(""));
const DESCRIPTOR = {
  mediaType: OCI_MANIFEST,
  digest: DIGEST,
  size: 1,
  platform: { os: "linux", architecture: "amd64" },
};
const SEEDS = [
  { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [DESCRIPTOR, DESCRIPTOR] },
  {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: DIGEST, size: 1 },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: DIGEST, size: 1 }],
  },
  {
    architecture: "amd64",
    os: "linux",
    config: {
      User: "u",
      Env: ["A=b"],
      Cmd: ["c"],
      Entrypoint: ["e"],
      Volumes: { "/v": {} },
      Labels: { l: "m" },
      WorkingDir: "/",
      StopSignal: "9",
    },
    rootfs: { type: "layers", diff_ids: [DIGEST] },
  },
];
const VALUES: unknown[] = [
  null,
  0,
  -1,
  1e300,
  "",
  "x",
  "\0",
  "../..",
  true,
  [],
  [null],
  {},
  { a: 1 },
  { __proto__: null },
  "sha256:",
  [[]],
  [{}],
];

/** Every document that has one value of the seed replaced. */
function* variants(value: unknown): Generator {
  yield* VALUES;
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries())
      for (const variant of variants(item)) yield value.toSpliced(i, 1, variant);
  } else if (value !== null && typeof value === "object") {
    for (const [key, item] of Object.entries(value)) {
      for (const variant of variants(item)) yield { ...value, [key]: variant };
      yield Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
    }
  }
}

function check(bytes: Buffer): void {
  const readers = [
    () => {
      const document = parseManifest(bytes, DIGEST, undefined);
      if (document.kind === "index")
        choosePlatform(document.manifests, { os: "linux", architecture: "arm", variant: "v7" });
    },
    () => parseManifest(bytes, DIGEST, OCI_INDEX),
    () => parseImageConfig(bytes, DIGEST),
  ];
  for (const read of readers) {
    try {
      read();
    } catch (error) {
      assert.ok(error instanceof GantryError, `${bytes.toString("utf8").slice(0, 300)}: ${String(error)}`);
      assert.notEqual(errorKind(error), "internal");
    }
  }
}

test("documents with any one value replaced", () => {
  let count = 0;
  for (const seed of SEEDS) {
    for (const variant of variants(seed)) {
      check(Buffer.from(JSON.stringify(variant)));
      count += 1;
    }
  }
  assert.ok(count > 500);
});

test("documents cut off, with bytes flipped, or nested without end", () => {
  for (const seed of SEEDS) {
    const bytes = Buffer.from(JSON.stringify(seed));
    for (let i = 0; i < bytes.length; i += 1) {
      check(bytes.subarray(0, i));
      const flipped = Buffer.from(bytes);
      flipped[i] = (flipped[i] ?? 0) ^ 0x91;
      check(flipped);
    }
  }
  check(Buffer.from("[".repeat(2_000_000)));
  check(Buffer.from(`{"manifests":${"[".repeat(100_000)}${"]".repeat(100_000)}}`));
});

test("a configuration of more than any image has is refused", () => {
  const many = Array.from({ length: 10_001 }, (_, i) => `a${i}`);
  const map = Object.fromEntries(many.map((name) => [name, ""]));
  const configs = [
    { Env: many },
    { Cmd: many },
    { Entrypoint: many },
    { Labels: map },
    { Volumes: map },
    // It is in every list of images, which clients refuse as a whole when it is too large.
    { User: "x".repeat(5000) },
    { WorkingDir: `/${"x".repeat(5000)}` },
  ];
  for (const config of configs) {
    assert.throws(() => parseImageConfig(Buffer.from(JSON.stringify({ config })), DIGEST), {
      kind: "data-loss",
      message: new RegExp(`config.${Object.keys(config)[0]} has`),
    });
  }
});
