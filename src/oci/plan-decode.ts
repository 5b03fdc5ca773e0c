/** Reads a plan back: for error messages, tests and debugging. Not needed to run one. */
import { GantryError } from "../base/errors.ts";
import { decodeRecord, peekRecord } from "../base/wire-table.ts";
import { PLAN_FINGERPRINT, PLAN_TABLE, type PlanOperationName, type PlanValues } from "./plan.ts";

export type PlanOperation = {
  [Name in PlanOperationName]: { name: Name; values: PlanValues<Name> };
}[PlanOperationName];

const NAMES = new Map<number, PlanOperationName>(
  Object.entries(PLAN_TABLE.records).map(([name, { code }]) => [code, name as PlanOperationName]),
);

/** @throws GantryError data-loss for bytes that are no plan of this build. */
export function decodePlan(plan: Uint8Array): PlanOperation[] {
  const { magic, bytes } = PLAN_TABLE.constants.header;
  const view = new DataView(plan.buffer, plan.byteOffset, plan.byteLength);
  if (plan.length < bytes || view.getUint32(0, true) !== magic || view.getUint32(8, true) !== plan.length)
    throw new GantryError("data-loss", "not a plan");
  if (view.getUint32(4, true) !== PLAN_FINGERPRINT)
    throw new GantryError("data-loss", "plan of another build");
  const operations: PlanOperation[] = [];
  for (let offset: number = bytes; offset < plan.length;) {
    const next = peekRecord(plan, offset);
    const name = next && NAMES.get(next.code);
    if (!name || offset + next.length > plan.length)
      throw new GantryError("data-loss", `malformed plan: operation ${operations.length}`);
    const values = decodeRecord(PLAN_TABLE.records[name], plan.subarray(offset, offset + next.length));
    operations.push({ name, values } as PlanOperation);
    offset += next.length;
  }
  return operations;
}

/** One line for each operation: `12 mount { type: "proc", … }`. Programs and state are shortened. */
export function dumpPlan(plan: Uint8Array): string {
  const show = (_key: string, value: unknown): unknown =>
    typeof value === "bigint"
      ? `0x${value.toString(16)}`
      : value instanceof Uint8Array
        ? `${value.length} bytes`
        : value;
  return decodePlan(plan)
    .map(({ name, values }, index) => `${index} ${name} ${JSON.stringify(values, show)}`)
    .join("\n");
}
