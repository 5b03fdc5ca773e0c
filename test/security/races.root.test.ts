/**
 * A second container that shares a volume exchanges a directory with a link while containers start: whatever the moment,
 * nothing of the host's is mounted, covered, made or read. CVE-2021-30465, CVE-2024-45310, CVE-2019-19921,
 * CVE-2023-27561, CVE-2025-31133, CVE-2025-52565, CVE-2024-21626, CVE-2024-23651.
 *
 * The same for the terminals of further processes, where the container itself changes what is in /dev.
 *
 * Each race shows that it was one: the exchanges were seen from both sides, and the same race against an executor that
 * opens by name what it has looked up is lost. `npm run test:races` runs 10,000 rounds of each.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { ExecTerminal } from "./exec-terminal.ts";
import { LONGEST_MS, RaceTrack, type RaceResult } from "./race.ts";

const all = Number(process.env["GANTRY_RACE_ROUNDS"] ?? 0);
/** The best known race in full, in continuous integration, too; others in part there. */
const FULL = all || 10_000;
const ROUNDS = all || 1_500;
/** Where what was made has to be deleted after each round, and rounds are one after the other. */
const CLEANED = all || 500;
const EXECS = all || 500;
/** Against the weak executor, which has lost long before the last try. */
const [WEAK, TRIES] = [600, 50];
const LIMIT = all ? { timeout: LONGEST_MS } : {};

let track: RaceTrack;
let terminals: ExecTerminal;
before(async () => {
  track = new RaceTrack();
  terminals = new ExecTerminal(track);
  await terminals.open();
});
after(async () => {
  await terminals?.close();
  track?.close();
});

const bind = (source: string, destination: string) => ({
  destination,
  type: "bind",
  source,
  options: ["bind"],
});

function report(t: TestContext, { outcomes, touched, swaps }: RaceResult): void {
  t.diagnostic(
    `${[...outcomes].map(([name, count]) => `${name}: ${count}`).join(", ")}; touched ${touched}; ${swaps} swaps`,
  );
}

/** Nothing of the host's was reached, and both sides of the exchange were met. */
function assertSafe(t: TestContext, result: RaceResult, sides = 2): void {
  report(t, result);
  const text = JSON.stringify([...result.outcomes]);
  assert.equal(result.escapes, 0, text);
  assert.equal(result.touched, 0, `the host's directory was touched: ${text}`);
  assert.ok(result.outcomes.size >= sides, `one outcome only, so nothing was raced: ${text}`);
  for (const name of result.outcomes.keys())
    assert.match(name, /^(?:exit [01]|\w+ (?:ELOOP|ENOENT|EXDEV|EAGAIN|ENOTDIR|EBUSY|ENODEV))$/, text);
}

/** The weak executor loses the same race, or nothing would be shown by it. */
async function assertWeakLoses(
  t: TestContext,
  plan: Uint8Array,
  lost: (result: RaceResult) => boolean,
  options: Parameters<RaceTrack["run"]>[2] = {},
): Promise<void> {
  for (let left = TRIES; left > 0; left--) {
    const result = await track.run(plan, WEAK, { ...options, weak: true });
    report(t, result);
    if (lost(result)) return;
  }
  assert.fail("this race does not find what is weak");
}
const escapes = (result: RaceResult): boolean => result.escapes > 0;
const touches = (result: RaceResult): boolean => result.touched > 0;

test("a mount's destination: a directory, on a path that is swapped (CVE-2021-30465)", LIMIT, async (t) => {
  const plan = track.plan(track.spec(["mount", "/source"], [bind(track.path("source"), "/v/a/b")]));
  assertSafe(t, await track.run(plan, FULL));
  await assertWeakLoses(t, plan, escapes);
});

test("a file mounted where directories have to be made (CVE-2024-45310)", LIMIT, async (t) => {
  const plan = track.plan(track.spec(["mount", "/single"], [bind(track.path("single"), "/v/a/new/file")]));
  const places = [join(track.volume, "a"), join(track.volume, "link"), join(track.rootfs, track.host)];
  const clean = places.flatMap((place) => [join(place, "new/file"), join(place, "new")]);
  assertSafe(t, await track.run(plan, CLEANED, { clean }));
  const onHost = ["new/file", "new"].map((name) => join(track.host, name));
  await assertWeakLoses(t, plan, touches, { clean: [...clean, ...onHost] });
});

test(
  "a new filesystem, and one that must not be reached through a link (CVE-2019-19921, CVE-2023-27561)",
  LIMIT,
  async (t) => {
    const tmpfs = { destination: "/v/a/b", type: "tmpfs", source: "raced", options: [] };
    assertSafe(t, await track.run(track.plan(track.spec(["mount", "raced"], [tmpfs])), ROUNDS));
    const sysfs = { destination: "/v/a/b", type: "sysfs", source: "raced", options: [] };
    const result = await track.run(track.plan(track.spec(["mount", "raced"], [sysfs])), ROUNDS);
    assertSafe(t, result);
    assert.ok((result.outcomes.get("openat2 ELOOP") ?? 0) > 0, "a link is refused");
  },
);

test("masked and read-only paths", LIMIT, async (t) => {
  const spec = track.spec([], [{ destination: "/dev", type: "tmpfs", source: "tmpfs" }], {
    linux: {
      namespaces: [{ type: "mount" }],
      maskedPaths: ["/v/a/file"],
      readonlyPaths: ["/v/a/b"],
    },
  });
  spec.process = {
    user: { uid: 0, gid: 0 },
    cwd: "/",
    env: [],
    args: ["/bin/probe", "mount", "/null", "/b"],
  };
  assertSafe(t, await track.run(track.plan(spec), ROUNDS));
});

test(
  "the null device that masks, swapped for a link to a file of procfs (CVE-2025-31133)",
  LIMIT,
  async (t) => {
    const dev = track.path("dev");
    mkdirSync(dev);
    execFileSync("mknod", [join(dev, "null"), "c", "1", "3"]);
    symlinkSync("/proc/sys/kernel/core_pattern", join(dev, "link"));
    const spec = track.spec(["null", "/proc/timer_list"], [bind(dev, "/dev")], {
      linux: { namespaces: [{ type: "mount" }], maskedPaths: ["/proc/timer_list"] },
    });
    const swapped = [join(dev, "null"), join(dev, "link")] as const;
    assertSafe(t, await track.run(track.plan(spec), ROUNDS, { swapped }));
  },
);

test("terminals: /dev/pts and /dev/console are swapped (CVE-2025-52565)", LIMIT, async (t) => {
  const dev = track.path("terminals");
  for (const name of ["pts"]) mkdirSync(join(dev, name), { recursive: true });
  writeFileSync(join(dev, "console"), "");
  symlinkSync(join(track.host, "b"), join(dev, "ptslink"));
  symlinkSync(join(track.host, "file"), join(dev, "consolelink"));
  const devpts = {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["newinstance", "ptmxmode=0666", "mode=0620"],
  };
  const spec = track.spec(["terminal"], [bind(dev, "/dev"), devpts]);
  if (spec.process) spec.process.terminal = true;
  const plan = track.plan(spec);
  for (const [name, link] of [
    ["pts", "ptslink"],
    ["console", "consolelink"],
  ] as const) {
    /* On the console's way either name is one of the container's own, and nothing fails. */
    const result = await track.run(plan, ROUNDS / 2, { swapped: [join(dev, name), join(dev, link)] });
    assertSafe(t, result, name === "pts" ? 2 : 1);
  }
});

test("an exec's terminal: another container exchanges what is in /dev (CVE-2025-52565)", LIMIT, async (t) => {
  const dev = terminals.makeDev();
  const { running, plan } = await terminals.start({ command: "while :; do sleep 1; done" }, dev);
  const pairs = "pts other pts ptslink pts fifo tty ttylink console consolelink".split(" ");
  const other = await terminals.start({
    command: ["/bin/swap", "exchange", ...pairs.map((name) => join("/v", name))],
    mounts: [{ hostPath: dev, containerPath: "/v" }],
  });
  const race = { swapped: "none", joinPid: running.pid } as const;
  assertSafe(t, await track.run(plan, EXECS, race));
  /* What has the slave's name is a file, or nothing. */
  const byName = ({ outcomes }: RaceResult): boolean =>
    [...outcomes.keys()].some((name) => name.startsWith("ioctl "));
  await assertWeakLoses(t, plan, byName, race);
  await other.running.end();
  await running.end();
});

test("an exec's terminal: the container itself mounts on /dev/pts and its multiplexer", LIMIT, async (t) => {
  const dev = terminals.makeDev();
  const pairs = ["/v/other", "/dev/pts", "/v/other/ptmx", "/dev/pts/ptmx", "/v/fifo/ptmx", "/dev/pts/ptmx"];
  const { id, running, plan } = await terminals.start({
    command: ["/bin/swap", "cover", ...pairs, "/v/tty", "/dev/tty"],
    mounts: [{ hostPath: dev, containerPath: "/v" }],
    capabilities: ["SYS_ADMIN"],
  });
  assertSafe(t, await track.run(plan, EXECS, { swapped: "none", joinPid: running.pid }));
  for (let round = 0; round < 3; round++) {
    const { code, stdout, stderr } = await terminals.way.oci(["exec", "-t", id, "/bin/probe", "terminal"]);
    t.diagnostic(`gantry-oci exec: ${code} ${stderr.trim()}`);
    if (code === 0) assert.equal(stdout, "here\r\n");
    else assert.match(stderr, /level=error msg=".*\/dev\/pts\/ptmx/);
  }
  await running.end();
});

test("device nodes and links in a directory that is swapped", LIMIT, async (t) => {
  const names = "null zero full random urandom tty fd stdin stdout stderr core ptmx".split(" ");
  symlinkSync(track.host, join(track.rootfs, "devlink"));
  const places = [join(track.rootfs, "dev"), join(track.rootfs, "devlink"), join(track.rootfs, track.host)];
  const clean = places.flatMap((place) => names.map((name) => join(place, name)));
  const swapped = [join(track.rootfs, "dev"), join(track.rootfs, "devlink")] as const;
  const plan = track.plan(track.spec(["either", join(track.host, "null"), "/dev/null", "/devlink/null"]));
  assertSafe(t, await track.run(plan, CLEANED, { swapped, clean }));
  const hostNames = names.map((name) => join(track.host, name));
  await assertWeakLoses(t, plan, touches, { swapped, clean: [...clean, ...hostNames] });
});

test("the working directory, of a container and of an exec (CVE-2024-21626)", LIMIT, async (t) => {
  const { dev, ino } = statSync(join(track.host, "b"));
  const spec = track.spec(["cwd", String(dev), String(ino)]);
  if (spec.process) spec.process.cwd = "/v/a/b";
  assertSafe(t, await track.run(track.plan(spec), ROUNDS));
});

test("a part of an image volume, swapped for a link to the host (CVE-2024-23651)", LIMIT, async (t) => {
  const image = track.path("image");
  mkdirSync(join(image, "a/b"), { recursive: true });
  symlinkSync(track.host, join(image, "link"));
  mkdirSync(join(image, track.host, "b"), { recursive: true });
  const mount = { destination: "/img", type: "image", source: "raced", options: ["ro", "subpath=a/b"] };
  const images = new Map([["raced", { type: "bind", source: image, readonly: true } as const]]);
  const plan = track.plan(track.spec(["empty", "/img"], [mount]), { images });
  const swapped = [join(image, "a"), join(image, "link")] as const;
  assertSafe(t, await track.run(plan, ROUNDS, { swapped }), 1);
  await assertWeakLoses(t, plan, escapes, { swapped });
});

test("a bind mount's source, after it has been followed", LIMIT, async (t) => {
  const plan = track.plan(track.spec(["empty", "/src"], [bind(join(track.volume, "a/b"), "/src")]));
  const result = await track.run(plan, ROUNDS);
  assertSafe(t, result);
  assert.ok((result.outcomes.get("openat2 ELOOP") ?? 0) > 0, "a link is refused");
});
