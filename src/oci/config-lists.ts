/** Finds a list that stands where a schema wants an object: to the checking library a list is an object too. */
import type * as v from "valibot";

type Schema = v.GenericSchema & {
  entries?: Readonly<Record<string, Schema>>;
  item?: Schema;
  wrapped?: Schema;
  value?: Schema;
};

/** Path of the first such list; undefined where there is none. @param value one that the schema takes. */
export function listForObject(schema: v.GenericSchema, value: unknown, path = ""): string | undefined {
  const { type, entries, item, wrapped, value: member } = schema as Schema;
  if (value === undefined || value === null) return undefined;
  if (wrapped) return listForObject(wrapped, value, path);
  if (type !== "array" && type !== "object" && type !== "strict_object" && type !== "record")
    return undefined;
  if (type !== "array" && Array.isArray(value)) return path;
  for (const [key, part] of Object.entries(value)) {
    const inner = entries ? entries[key] : (item ?? member);
    const found = inner && listForObject(inner, part, path === "" ? key : `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
