/**
 * Versions of the CNI specification: "0.1.0" to "1.1.0". A network configuration names one or several, and the highest
 * that this runtime speaks is used (specification 1.1, section 1, "Version considerations").
 */

/** The newest version that is spoken here. */
export const CNI_LATEST = "1.1.0";

/** What a configuration without a version speaks. */
export const CNI_OLDEST = "0.1.0";

/** Undefined for what is no version. */
function parse(version: string): [number, number, number] | undefined {
  const match = /^(\d{1,6})\.(\d{1,6})\.(\d{1,6})$/.exec(version);
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : undefined;
}

/** Negative, 0 or positive. Both must be versions. */
function compare(a: string, b: string): number {
  const [left, right] = [parse(a), parse(b)];
  if (!left || !right) return Number.NaN;
  return left[0] - right[0] || left[1] - right[1] || left[2] - right[2];
}

/** Whether a version is that one or a later one; false for what is no version. */
export function cniVersionAtLeast(version: string, least: string): boolean {
  return compare(version, least) >= 0;
}

/** Those that are spoken here, the highest first, each once. */
export function spokenCniVersions(versions: readonly string[]): string[] {
  const spoken = versions.filter((version) => compare(version, CNI_LATEST) <= 0);
  return [...new Set(spoken)].toSorted((a, b) => compare(b, a));
}
