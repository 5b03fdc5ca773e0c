/**
 * Device rules as the properties DevicePolicy and DeviceAllow of a unit.
 *
 * systemd knows lists of what is allowed only, and its devices by node or by the driver's name. What it enforces comes on
 * top of the group's own rules (cgroup-device-filter.ts, devices.*), so its list must never refuse what those allow; where
 * it cannot say the same it allows more.
 */
import { readFileSync } from "node:fs";
import type { DeviceRule } from "./runtime-spec.ts";
import type { UnitProperty } from "./systemd-units.ts";

interface Allowed {
  type: "b" | "c";
  /** Undefined: all. */
  major: number | undefined;
  minor: number | undefined;
  access: Set<string>;
}

/** @param drivers the text of /proc/devices. */
export function deviceProperties(
  rules: readonly DeviceRule[] | undefined,
  drivers: () => string = () => readFileSync("/proc/devices", "latin1"),
): UnitProperty[] {
  const allowed = rules && allowList(rules);
  // An empty list first: what is given is added to what the unit has.
  const cleared: UnitProperty = ["DeviceAllow", ["a(ss)", []]];
  if (!allowed) return [["DevicePolicy", ["s", "auto"]], cleared];
  const entries = new Map<string, Set<string>>();
  let names: Map<string, string> | undefined;
  for (const device of allowed) {
    const { type, major, minor, access } = device;
    const word = type === "b" ? "block" : "char";
    let node = `${word}-*`;
    if (major !== undefined && minor !== undefined) node = `/dev/${word}/${major}:${minor}`;
    else if (major !== undefined) {
      names ??= driverNames(drivers());
      const name = names.get(`${type}${major}`);
      if (name !== undefined) node = `${word}-${name}`;
    }
    const known = entries.get(node) ?? new Set();
    for (const letter of access) known.add(letter);
    entries.set(node, known);
  }
  const list = [...entries].map(([node, access]) => [
    node,
    ["r", "w", "m"].filter((letter) => access.has(letter)).join(""),
  ]);
  return [["DevicePolicy", ["s", "strict"]], cleared, ["DeviceAllow", ["a(ss)", list]]];
}

/** What the rules allow, in whole or in part; undefined where that is everything but exceptions. */
function allowList(rules: readonly DeviceRule[]): Allowed[] | undefined {
  let list: Allowed[] | undefined = [];
  for (const rule of rules) {
    const type = rule.type ?? "a";
    const major = plain(rule.major);
    const minor = plain(rule.minor);
    if (type === "a") {
      const whole = major === undefined && minor === undefined && (rule.access ?? "rwm").length === 3;
      if (rule.allow) list = undefined;
      // Less than everything is refused by the group's own rules alone.
      else if (whole) list = [];
      continue;
    }
    if (list === undefined) continue;
    const kind = type === "b" ? "b" : "c";
    const access = new Set(rule.access ?? "rwm");
    if (rule.allow) {
      list.push({ type: kind, major, minor, access });
      continue;
    }
    for (const entry of list) {
      const covers =
        entry.type === kind &&
        (major === undefined || major === entry.major) &&
        (minor === undefined || minor === entry.minor);
      if (covers) for (const letter of access) entry.access.delete(letter);
    }
    list = list.filter((entry) => entry.access.size > 0);
  }
  return list;
}

const plain = (number: number | undefined): number | undefined =>
  number === undefined || number < 0 ? undefined : number;

/** Of the drivers by "b254" or "c136": one name may have several numbers. */
function driverNames(text: string): Map<string, string> {
  const names = new Map<string, string>();
  let type = "c";
  for (const line of text.split("\n")) {
    if (line.startsWith("Character")) type = "c";
    else if (line.startsWith("Block")) type = "b";
    const found = /^\s*(\d+) (.+)$/.exec(line);
    // What is a pattern to systemd would match others, or nothing.
    if (found && /^[A-Za-z0-9_/.-]+$/.test(found[2] ?? ""))
      names.set(`${type}${found[1]}`, found[2] as string);
  }
  return names;
}
