/** What a runc-compatible program tells of itself with `features` (features.md of the OCI runtime specification). */
import * as v from "valibot";

export interface ExternalFeatures {
  /** The newest version of the specification that it knows; undefined where it does not say. */
  ociVersionMax: string | undefined;
  /** It makes mounts read-only with all below them. */
  recursiveReadOnlyMounts: boolean;
  userNamespaces: boolean;
}

const NONE: ExternalFeatures = {
  ociVersionMax: undefined,
  recursiveReadOnlyMounts: false,
  userNamespaces: false,
};

const schema = v.object({
  ociVersionMax: v.optional(v.string()),
  mountOptions: v.optional(v.array(v.string())),
  linux: v.optional(v.object({ namespaces: v.optional(v.array(v.string())) })),
});

/** A text that is not the specification's says nothing. */
export function parseFeatures(text: string): ExternalFeatures {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return NONE;
  }
  const result = v.safeParse(schema, value);
  if (!result.success) return NONE;
  const { ociVersionMax, mountOptions = [], linux } = result.output;
  return {
    ociVersionMax,
    recursiveReadOnlyMounts: mountOptions.includes("rro"),
    userNamespaces: linux?.namespaces?.includes("user") ?? false,
  };
}
