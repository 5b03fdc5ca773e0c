/**
 * Every member of a configuration that has them all, replaced by everything else: each is refused by its path, or taken
 * and then planned, and nothing ends in an error that is a bug of ours.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../base/errors.ts";
import { fullSpec } from "./config-example.ts";
import { parseSpec } from "./config-check.ts";
import { planForContainer } from "./container-plan.ts";
import { parseExactJson, stringifyExactJson } from "./exact-json.ts";

type Path = readonly (string | number)[];

function* nodes(value: unknown, path: Path = []): Generator<Path> {
  yield path;
  if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* nodes(item, [...path, index]);
  else if (typeof value === "object" && value !== null)
    for (const [key, member] of Object.entries(value)) yield* nodes(member, [...path, key]);
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<string | number, unknown>)[key], value);
}

function replaced(text: string, path: Path, value: unknown): string {
  const whole = parseExactJson(text);
  const last = path.at(-1);
  if (last === undefined) return stringifyExactJson(value);
  (valueAt(whole, path.slice(0, -1)) as Record<string | number, unknown>)[last] = value;
  return stringifyExactJson(whole);
}

const typeOf = (value: unknown): string =>
  Array.isArray(value) ? "list" : typeof value === "bigint" ? "number" : typeof value;

const VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e300,
  2n ** 64n,
  -(2n ** 63n) - 1n,
  "",
  "x",
  "a\0b",
  "../..",
  "x".repeat(70_000),
  [],
  [null],
  [[]],
  ["x"],
  {},
  { x: 1 },
  { x: { y: null } },
];

/** What may stand in for a value of another type, and why. */
function isTakenAs(path: Path, value: unknown): boolean {
  const [first, second] = path;
  // Members that other platforms or extensions own are not this runtime's to judge.
  return first === "x-unknown" || (first === "linux" && second === "x-unknown") || value === null;
}

function plan(text: string): void {
  const spec = parseSpec(text, "config.json");
  planForContainer(spec, {
    rootfs: { type: "bind", source: "/nowhere", readonly: false },
    cgroup: { tasksFiles: [] },
    gate: { fifo: "/nowhere/start.fifo" },
    hostPhase: false,
    checkCommand: true,
    noPivot: false,
    preserveFds: 0,
    hookState: { ociVersion: spec.ociVersion, id: "x", bundle: "/" },
    rootfsTarget: "/nowhere",
  });
}

test("the whole example is taken", () => {
  plan(stringifyExactJson(fullSpec()));
});

test("every member by everything else: refused by its path, or planned", () => {
  const text = stringifyExactJson(fullSpec());
  const whole = parseExactJson(text);
  const wrong: string[] = [];
  let refused = 0;
  let taken = 0;
  for (const path of nodes(whole)) {
    const original = typeOf(valueAt(whole, path));
    for (const value of VALUES) {
      const what = `${path.join(".")} as ${stringifyExactJson(value).slice(0, 40)}`;
      const isOtherType = typeOf(value) !== original;
      try {
        plan(replaced(text, path, value));
        taken += 1;
        if (isOtherType && !isTakenAs(path, value)) wrong.push(`${what} is taken for a ${original}`);
      } catch (error) {
        refused += 1;
        if (!(error instanceof GantryError)) {
          wrong.push(`${what}: ${error instanceof Error ? error.stack : String(error)}`);
        } else if (
          isOtherType &&
          value !== null &&
          !error.message.startsWith(`config.json: ${path.slice(0, 2).join(".")}`)
        ) {
          wrong.push(`${what} is not named: ${error.message.slice(0, 200)}`);
        }
      }
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(refused > 1000 && taken > 100, `${refused} refused, ${taken} taken`);
});

test("what nobody knows is left alone", () => {
  const text = stringifyExactJson({ ...fullSpec(), windows: { a: 1 }, "x-unknown": [1], vm: null });
  plan(text);
});
