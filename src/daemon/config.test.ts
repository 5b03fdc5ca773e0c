import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { GantryError } from "../base/errors.ts";
import { defaultConfigToml } from "./config-document.ts";
import { loadConfig } from "./config.ts";

function directoryWith(t: TestContext, files: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), "gantry-config-"));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}

/** The complaints about a file, without the directory. */
function complaints(t: TestContext, files: Record<string, string>, overrides = {}): string[] {
  const directory = directoryWith(t, files);
  try {
    loadConfig(join(directory, "config.toml"), overrides);
  } catch (error) {
    assert.ok(error instanceof GantryError && error.kind === "invalid-argument", String(error));
    return error.message.replaceAll(`${directory}/`, "").split("\n");
  }
  return [];
}

test("an empty file gives the defaults, and the default file says the same", (t) => {
  const empty = loadConfig(join(directoryWith(t, { "config.toml": "" }), "config.toml"));
  const full = loadConfig(join(directoryWith(t, { "config.toml": defaultConfigToml() }), "config.toml"));
  assert.deepEqual(full.config, empty.config);
  assert.equal(empty.config.listen, "unix:///run/gantry/gantry.sock");
  assert.equal(empty.config.images.snapshotter, "auto");
  assert.deepEqual(Object.keys(empty.config.runtimes), ["gantry"]);
  assert.equal(empty.config.runtimes["gantry"]?.type, "builtin");
});

test("drop-ins win in the order of their names, tables merge, lists are replaced", (t) => {
  const directory = directoryWith(t, {
    "config.toml": `root = "/a"\n[images]\npinned = ["one", "two"]\nunpack_workers = 3\n[runtimes.other]`,
    "conf.d/20-late.toml": `root = "/late"`,
    "conf.d/10-early.toml": `root = "/early"\n[images]\npinned = ["three"]`,
    "conf.d/ignored.conf": `not toml at all`,
  });
  const { config, files } = loadConfig(join(directory, "config.toml"), { state: "/s", logLevel: "debug" });
  assert.equal(config.root, "/late");
  assert.deepEqual(config.images.pinned, ["three"]);
  assert.equal(config.images.unpack_workers, 3);
  assert.equal(config.listen, "unix:///s/gantry.sock");
  assert.equal(config.log.level, "debug");
  assert.deepEqual(Object.keys(config.runtimes).toSorted(), ["gantry", "other"]);
  assert.deepEqual(
    files.map((file) => file.slice(directory.length + 1)),
    ["config.toml", "conf.d/10-early.toml", "conf.d/20-late.toml"],
  );
});

test("an unknown key is named with file, line and key", (t) => {
  const text = `root = "/a"\n\n[images]\nsnapshoter = "copy"\n[nonsense]\nx = 1\n`;
  assert.deepEqual(complaints(t, { "config.toml": text }), [
    "config.toml:4: images.snapshoter: unknown key",
    "config.toml:5: nonsense: unknown key",
  ]);
});

test("a wrong type or value is named with file, line and key", (t) => {
  const text = [
    `listen = "tcp://1.2.3.4"`,
    `[images]`,
    `unpack_workers = "4"`,
    `pinned = ["a",`,
    `  2]`,
    `[network]`,
    `mode = "calico"`,
    `[log]`,
    `level = 2026-01-01`,
  ];
  assert.deepEqual(complaints(t, { "config.toml": "", "conf.d/1.toml": text.join("\n") }), [
    `conf.d/1.toml:1: listen: must be "unix:///PATH", or empty, not "tcp://1.2.3.4"`,
    `conf.d/1.toml:9: log.level: must be one of "debug", "info", "warn", "error", not "2026-01-01"`,
    `conf.d/1.toml:3: images.unpack_workers: must be a whole number from 0 to 64, not "4"`,
    `conf.d/1.toml:5: images.pinned.1: must be a string, not 2`,
    `conf.d/1.toml:7: network.mode: must be one of "unset", "none", "embedded", "cni", not "calico"`,
  ]);
});

test("a value that fits no other is blamed on the file that set it last", (t) => {
  assert.deepEqual(
    complaints(t, {
      "config.toml": `state = "/same"\n[runtime]\ndefault_handler = "gantry"`,
      "conf.d/1.toml": `root = "/same"\n[runtime]\n\ndefault_handler = "kata"`,
    }),
    [
      "conf.d/1.toml:4: runtime.default_handler: there is no [runtimes.kata]",
      "config.toml:1: state: must be another directory than root",
    ],
  );
});

test("paths that could mean another place are refused", (t) => {
  for (const path of ["relative", "/a/../b", "/a/./b", "/a/", "/", "/.."]) {
    assert.match(
      complaints(t, { "config.toml": `root = "${path}"` })[0] ?? "accepted",
      /^config.toml:1: root: /,
      path,
    );
  }
  assert.deepEqual(complaints(t, { "config.toml": `root = "/a..b/.c"` }), []);
});

test("a syntax error is named with its line, a missing file by its name", (t) => {
  assert.match(complaints(t, { "config.toml": "root = '/a'\nstate = \n" }).join(), /^config.toml:2: /);
  assert.match(complaints(t, {}).join(), /^config.toml: ENOENT/);
  assert.match(
    complaints(t, { "config.toml": "" }, { logLevel: "loud" }).join(),
    /^command line: log.level: must be one/,
  );
});

test("a handler of another program names it, and the built-in one does not", (t) => {
  const directory = directoryWith(t, {
    "config.toml": `[runtimes.one]\ntype = "oci"\n[runtimes.two]\nbinary = "/usr/bin/crun"\n[runtimes.three]\ntype = "oci"\nbinary = "crun"`,
  });
  assert.throws(() => loadConfig(join(directory, "config.toml")), {
    message: [
      `${directory}/config.toml:7: runtimes.three.binary: must be an absolute path, or empty, not "crun"`,
    ].join("\n"),
  });
  const other = directoryWith(t, {
    "config.toml": `[runtimes.one]\ntype = "oci"\n[runtimes.two]\nbinary = "/usr/bin/crun"`,
  });
  assert.throws(() => loadConfig(join(other, "config.toml")), {
    message: [
      `${other}/config.toml:2: runtimes.one.type: needs a binary`,
      `${other}/config.toml:4: runtimes.two.binary: needs type = "oci"`,
    ].join("\n"),
  });
});
