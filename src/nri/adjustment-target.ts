/** What an adjustment is applied to. */
import { GantryError } from "../base/errors.ts";
import type { Spec } from "../engine/lifecycle-hooks.ts";
import type { FieldOwners } from "./owners.ts";

/** A copy of the configuration, and who set what in it so far. */
export interface AdjustmentTarget {
  spec: Spec;
  cdiDevices: string[];
  owners: FieldOwners;
}

export function processOf(spec: Spec): NonNullable<Spec["process"]> {
  if (!spec.process) throw new GantryError("internal", "the configuration has no process");
  return spec.process;
}
