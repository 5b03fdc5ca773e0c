/**
 * Names of units, and where their groups are. systemd nests slices by the dashes in their names:
 *
 *   a-b.slice                 /a.slice/a-b.slice
 *   a-b.slice:gantry:ID       /a.slice/a-b.slice/gantry-ID.scope
 *   -.slice                   /
 */
import { GantryError } from "../base/errors.ts";

/** What makes a path one of this driver: "slice:prefix:name", or a slice alone, or the expanded path of a slice. */
export interface UnitGroup {
  /** "gantry-ID.scope", "a-b.slice". */
  unit: string;
  /** The slice that the unit is in; "-.slice" for the root. */
  slice: string;
  /** Of its group, below the root of the hierarchies. */
  path: string;
}

const DEFAULT_SLICE = "system.slice";
/** Letters of unit names (systemd.unit(5)), without "@", which is for templates. */
const UNIT_NAME = /^[A-Za-z0-9:_.\\-]+$/;

/** Whether this is a path in systemd's syntax and not one of directories. */
export function namesUnit(path: string): boolean {
  return !path.startsWith("/") && (path.includes(":") || path.endsWith(".slice"));
}

/**
 * The scope or slice that "slice:prefix:name" or "a-b.slice" names. Without a slice it is system.slice; a name that ends
 * in ".slice" is a slice itself, and has no prefix.
 * @throws GantryError invalid-argument.
 */
export function unitGroup(path: string): UnitGroup {
  const parts = path.split(":");
  if (parts.length === 1) return sliceGroup(path);
  if (parts.length !== 3)
    throw invalid(`cgroup path ${JSON.stringify(path)} is not of the form slice:prefix:name`);
  const [slice = "", prefix = "", name = ""] = parts;
  if (name.endsWith(".slice")) return sliceGroup(name);
  const unit = `${prefix === "" ? "" : `${prefix}-`}${name}.scope`;
  if (name === "" || !UNIT_NAME.test(unit) || unit.length > 255)
    throw invalid(`cgroup path ${JSON.stringify(path)}: ${JSON.stringify(unit)} cannot be a unit`);
  const parent = slice === "" ? DEFAULT_SLICE : slice;
  return { unit, slice: parent, path: `${slicePath(parent)}/${unit}`.replace(/^\/\//, "/") };
}

function sliceGroup(slice: string): UnitGroup {
  const path = slicePath(slice);
  if (path === "/") throw invalid("cgroup path: the root slice is nobody's");
  const dash = slice.lastIndexOf("-");
  return { unit: slice, slice: dash < 0 ? "-.slice" : `${slice.slice(0, dash)}.slice`, path };
}

/** The directory of a slice's group: "/" for "-.slice". @throws GantryError invalid-argument. */
export function slicePath(slice: string): string {
  if (slice === "-.slice") return "/";
  const name = slice.slice(0, -".slice".length);
  if (
    !slice.endsWith(".slice") ||
    !UNIT_NAME.test(name) ||
    slice.length > 255 ||
    name.split("-").includes("") ||
    name.includes(":")
  )
    throw invalid(`${JSON.stringify(slice)} is not the name of a slice`);
  const parts = name.split("-");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("");
}

/**
 * The slice that a client means by "a-b.slice" or by the path "/a.slice/a-b.slice".
 * @throws GantryError invalid-argument for anything else.
 */
export function sliceOfParent(cgroupParent: string): string {
  const clean = cgroupParent.replace(/^\/+|\/+$/g, "");
  const slice = clean.slice(clean.lastIndexOf("/") + 1);
  const path = slicePath(slice);
  if (clean !== slice && `/${clean}` !== path)
    throw invalid(
      `cgroup parent ${JSON.stringify(cgroupParent)} is not where systemd has ${slice}, which is ${path}`,
    );
  return slice;
}

function invalid(message: string): GantryError {
  return new GantryError("invalid-argument", message);
}
