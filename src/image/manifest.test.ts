import assert from "node:assert/strict";
import { test } from "node:test";
import { errorKind, type ErrorKind } from "../base/errors.ts";
import { chainIds } from "./chain-id.ts";
import { parseImageConfig } from "./image-config.ts";
import { parseManifest } from "./manifest.ts";
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "./media-type.ts";
import { choosePlatform, type Platform } from "./platform.ts";
import { sha256 } from "./registry/fake-registry.ts";
import type { Digest } from "../base/digest.ts";

const DIGEST = sha256(Buffer.from("x"));
const descriptor = (mediaType: string): object => ({ mediaType, digest: DIGEST, size: 7 });
const CONFIG = descriptor("application/vnd.oci.image.config.v1+json");
const LAYER = descriptor("application/vnd.oci.image.layer.v1.tar+gzip");
const MANIFEST = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: CONFIG, layers: [LAYER] };
const INDEX = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptor(OCI_MANIFEST)] };

function parse(document: unknown, contentType?: string): ReturnType<typeof parseManifest> {
  const bytes = Buffer.from(typeof document === "string" ? document : JSON.stringify(document));
  return parseManifest(bytes, sha256(bytes), contentType);
}

test("manifests and indexes of both families parse", () => {
  assert.equal(parse(MANIFEST, OCI_MANIFEST).kind, "manifest");
  assert.equal(parse(INDEX, OCI_INDEX).kind, "index");
  const docker = {
    schemaVersion: 2,
    mediaType: DOCKER_MANIFEST,
    config: descriptor("application/vnd.docker.container.image.v1+json"),
    layers: [
      descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip"),
      descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
    ],
  };
  assert.equal(parse(docker, DOCKER_MANIFEST).kind, "manifest");
  assert.equal(parse({ ...INDEX, mediaType: DOCKER_LIST }, DOCKER_LIST).kind, "index");
});

test("without a media type the document's shape decides", () => {
  const { mediaType: _, ...manifest } = MANIFEST;
  const { mediaType: __, ...index } = INDEX;
  assert.equal(parse(manifest, "application/json").kind, "manifest");
  assert.equal(parse(index, undefined).kind, "index");
});

const refused: [string, unknown, string | undefined, ErrorKind, RegExp][] = [
  ["an index with layers", { ...INDEX, layers: [LAYER] }, OCI_INDEX, "data-loss", /ambiguous/],
  ["an index with a config", { ...INDEX, config: CONFIG }, OCI_INDEX, "data-loss", /ambiguous/],
  ["a manifest with manifests", { ...MANIFEST, manifests: [] }, OCI_MANIFEST, "data-loss", /ambiguous/],
  ["another type inside than outside", MANIFEST, OCI_INDEX, "data-loss", /inside/],
  [
    "schema 1",
    { schemaVersion: 1, fsLayers: [] },
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "unimplemented",
    /schema 1/,
  ],
  ["schema 1 without type", { schemaVersion: 1, fsLayers: [] }, undefined, "unimplemented", /schema 1/],
  [
    "an artifact",
    {
      ...MANIFEST,
      config: descriptor("application/vnd.oci.empty.v1+json"),
      artifactType: "application/x-sbom",
    },
    OCI_MANIFEST,
    "unimplemented",
    /artifact of type "application\/x-sbom"/,
  ],
  [
    "an unknown layer type",
    { ...MANIFEST, layers: [descriptor("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")] },
    OCI_MANIFEST,
    "unimplemented",
    /unknown layer type/,
  ],
  [
    "an unknown manifest type",
    { ...MANIFEST, mediaType: "application/vnd.oci.artifact.manifest.v1+json" },
    undefined,
    "unimplemented",
    /unknown manifest type/,
  ],
  [
    "a traversal digest",
    { ...MANIFEST, layers: [{ ...LAYER, digest: "sha256:../../etc" }] },
    OCI_MANIFEST,
    "data-loss",
    /not a sha256 digest/,
  ],
  [
    "a negative size",
    { ...MANIFEST, layers: [{ ...LAYER, size: -1 }] },
    OCI_MANIFEST,
    "data-loss",
    /layers\[0\].size/,
  ],
  [
    "a fractional size",
    { ...MANIFEST, layers: [{ ...LAYER, size: 1.5 }] },
    OCI_MANIFEST,
    "data-loss",
    /size/,
  ],
  [
    "a size as text",
    { ...MANIFEST, config: { ...CONFIG, size: "7" } },
    OCI_MANIFEST,
    "data-loss",
    /config.size/,
  ],
  ["no config", { ...MANIFEST, config: null }, OCI_MANIFEST, "data-loss", /config is missing/],
  [
    "layers that are no array",
    { ...MANIFEST, layers: {} },
    OCI_MANIFEST,
    "data-loss",
    /layers is not an array/,
  ],
  ["too many layers", { ...MANIFEST, layers: Array(501).fill(LAYER) }, OCI_MANIFEST, "data-loss", /too many/],
  ["wrong schemaVersion", { ...MANIFEST, schemaVersion: 3 }, OCI_MANIFEST, "data-loss", /schemaVersion/],
  ["an array", [], OCI_MANIFEST, "data-loss", /not an object/],
  ["null", null, OCI_MANIFEST, "data-loss", /schemaVersion/],
  ["text", "no json", OCI_MANIFEST, "data-loss", /not valid JSON/],
];

for (const [name, document, contentType, kind, message] of refused) {
  test(`${name} is refused`, () => {
    assert.throws(
      () => parse(document, contentType),
      (error: unknown) => {
        assert.equal(errorKind(error), kind);
        assert.match(String(error), message);
        return true;
      },
    );
  });
}

test("the platform of an index entry is chosen by fitness, not by order", () => {
  const entry = (os: string, architecture: string, variant = ""): { platform: Platform } => ({
    platform: { os, architecture, variant },
  });
  const amd64: Platform = { os: "linux", architecture: "amd64", variant: "" };
  const arm64: Platform = { os: "linux", architecture: "arm64", variant: "v8" };
  const arm7: Platform = { os: "linux", architecture: "arm", variant: "v7" };
  const entries = [
    entry("unknown", "unknown"),
    entry("windows", "amd64"),
    entry("linux", "386"),
    entry("linux", "amd64", "v3"),
    entry("linux", "arm", "v6"),
    entry("linux", "arm", "v7"),
    entry("linux", "arm64"),
    entry("linux", "x86_64"),
  ];
  assert.equal(choosePlatform(entries, amd64), entries[7]);
  assert.equal(choosePlatform(entries, { ...amd64, variant: "v3" }), entries[3]);
  assert.equal(choosePlatform(entries, arm64), entries[6]);
  assert.equal(choosePlatform(entries, arm7), entries[5]);
  assert.equal(choosePlatform(entries.slice(0, 5), arm7), entries[4], "an older variant runs");
  assert.equal(
    choosePlatform(entries.slice(0, 5), { ...arm7, variant: "v5" }),
    undefined,
    "a newer one does not",
  );
  assert.equal(choosePlatform(entries.slice(0, 3), amd64), entries[2], "386 is the fall-back of amd64");
  assert.equal(choosePlatform(entries.slice(0, 2), amd64), undefined);
  const bare = { platform: undefined };
  assert.equal(choosePlatform([bare, entries[2] as { platform: Platform | undefined }], amd64), entries[2]);
  assert.equal(choosePlatform([bare], amd64), bare);
});

function config(document: unknown): ReturnType<typeof parseImageConfig> {
  const bytes = Buffer.from(JSON.stringify(document));
  return parseImageConfig(bytes, sha256(bytes));
}

test("a configuration keeps what the image says", () => {
  const parsed = config({
    architecture: "amd64",
    os: "linux",
    config: {
      User: "1000:0x5",
      Env: ["A=1"],
      Entrypoint: ["/e"],
      Cmd: null,
      WorkingDir: "/w",
      StopSignal: "SIGQUIT",
      Volumes: { "/data": {}, "../../etc": {}, "/a/../../x/": {}, rel: {} },
      Labels: JSON.parse('{"__proto__":"p","a":"b"}') as object,
    },
    rootfs: { type: "layers", diff_ids: [DIGEST] },
  });
  assert.equal(parsed.config.user, "1000:0x5");
  assert.deepEqual(parsed.config.volumes, ["/data", "/etc", "/x", "/rel"]);
  assert.deepEqual(Object.keys(parsed.config.labels), ["__proto__", "a"]);
  assert.deepEqual(parsed.config.cmd, []);
  assert.deepEqual(parsed.diffIds, [DIGEST]);
});

test("an empty configuration is one", () => {
  assert.deepEqual(config({}).config.env, []);
});

for (const [name, document] of [
  ["Env of numbers", { config: { Env: [1] } }],
  ["Env with NUL", { config: { Env: ["A=\0"] } }],
  ["a label that is an object", { config: { Labels: { a: {} } } }],
  ["User as a number", { config: { User: 0 } }],
  ["diff_ids with a path", { rootfs: { diff_ids: ["sha256:../x"] } }],
  ["another rootfs type", { rootfs: { type: "tree" } }],
] as const) {
  test(`a configuration with ${name} is refused`, () => {
    assert.throws(() => config(document), { kind: "data-loss" });
  });
}

test("a configuration of another operating system is refused", () => {
  assert.throws(() => config({ os: "windows" }), { kind: "unimplemented" });
});

test("chainIDs follow the specification", () => {
  const a = sha256(Buffer.from("a"));
  const b = sha256(Buffer.from("b"));
  const c = sha256(Buffer.from("c"));
  const ab = sha256(Buffer.from(`${a} ${b}`));
  assert.deepEqual(chainIds([a, b, c]), [a, ab, sha256(Buffer.from(`${ab} ${c}`))]);
  assert.deepEqual(chainIds([] as Digest[]), []);
});
