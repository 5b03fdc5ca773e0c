/**
 * Two containers share a volume. One exchanges directories in it with links to a directory of the host's, and moves some
 * out of the part that the other one has, as fast as it can; the other is made again and again, with mounts, files,
 * devices and directories whose paths lead through what is exchanged. Both are containers of gantry-oci's. After every
 * round the host's directory is as it was, nothing is mounted on it, and what the container got lies in its own root.
 *
 * `npm run test:races` makes 10,000 containers; otherwise they are few.
 */
import assert from "node:assert/strict";
import { after, before, test, type TestContext } from "node:test";
import { LONGEST_MS } from "./race.ts";
import type { DriverReport } from "./shared-volume-driver.ts";
import { KINDS, type Kind } from "./shared-volume-kinds.ts";
import { SharedVolume } from "./shared-volume.ts";

const all = Number(process.env["GANTRY_RACE_ROUNDS"] ?? 0);
/** Of all kinds together, one after the other. */
const ROUNDS = all || 130;
/** One at a time. */
const TERMINALS = all / 10 || 12;
/** A weak executor has lost long before. */
const WEAK = 5_000;
const EXCHANGED = ["exchange", "/v/a", "/v/link", "/v/u", "/v/uplink", "/v/part/m", "/v/away"];
const TERMINAL_FILES = "exchange /v/dev/pts /v/dev/ptslink /v/dev/console /v/dev/consolelink".split(" ");
/** Those that end in the same way on both sides. */
const ONE_SIDED: readonly Kind[] = ["copyUp", "cgroups", "movedOut"];

let shared: SharedVolume;
before(async () => {
  shared = new SharedVolume();
  await shared.open();
});
after(() => shared?.close());

/** Nothing was reached; with the refusals that an exchange may cause, and no other. */
function assertSafe(t: TestContext, { outcomes, touched }: DriverReport): void {
  const text = JSON.stringify(outcomes);
  t.diagnostic(text);
  assert.deepEqual(touched, [], text);
  for (const [kind, counts] of Object.entries(outcomes))
    for (const outcome of Object.keys(counts)) {
      /* What is to be made read-only in the end is no mount in the other place. */
      if (kind === "cgroups" && outcome === "EINVAL") continue;
      assert.match(outcome, /^(?:exit [01]|ELOOP|ENOENT|EXDEV|EAGAIN|ENOTDIR|EBUSY)$/, `${kind}: ${text}`);
    }
}

/** Both sides of the exchange were met, or nothing was raced. */
function assertRaced({ outcomes }: DriverReport): void {
  const counts = Object.entries(outcomes).filter(([kind]) => !ONE_SIDED.includes(kind as Kind));
  const ends = counts.flatMap(([, found]) => Object.keys(found));
  assert.ok(counts.length === 0 || new Set(ends).size > 1, "both sides of the exchange were met");
}

const kinds = (Object.keys(KINDS) as Kind[]).filter((kind) => kind !== "terminal");
/** In the whole race one kind after the other, so that it is seen to go on. */
for (const some of all ? kinds.map((kind) => [kind]) : [kinds]) {
  const what = some.length > 1 ? "whatever leads" : `${some.join()}: what leads`;
  test(`${what} through a shared volume stays in the container`, { timeout: LONGEST_MS }, async (t) => {
    const attacker = await shared.attacker(EXCHANGED);
    const rounds = Math.ceil((ROUNDS * some.length) / kinds.length);
    const report = await shared.rounds(some, { rounds });
    t.diagnostic((await attacker.end()).trim().split("\n").at(-1) ?? "");
    assertSafe(t, report);
    assertRaced(report);
  });
}

test("a terminal in a /dev that is shared (CVE-2025-52565)", { timeout: LONGEST_MS }, async (t) => {
  const attacker = await shared.attacker(TERMINAL_FILES);
  const report = await shared.rounds(["terminal"], { rounds: TERMINALS, width: 1 });
  await attacker.end();
  assertSafe(t, report);
});

test("an executor that uses names loses", { timeout: LONGEST_MS }, async (t) => {
  const attacker = await shared.attacker(EXCHANGED);
  const weak: Kind[] = ["madeFile", "directoryWithHook"];
  const { outcomes, touched } = await shared.rounds(weak, { rounds: WEAK, weak: true });
  t.diagnostic(`${JSON.stringify(outcomes)}, touched ${touched.length}`);
  await attacker.end();
  const escapes = weak.reduce((sum, kind) => sum + (outcomes[kind]?.["exit 42"] ?? 0), 0);
  assert.ok(touched.length + escapes > 0);
});
