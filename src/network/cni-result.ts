/**
 * The result of an ADD (specification 1.1, section 5, and those of earlier versions). It is passed on and kept as the
 * plugin wrote it; only the pod's addresses are read out of it.
 *
 *   0.1.0, 0.2.0    { ip4: { ip: "10.0.0.2/24" }, ip6: { ip: "fd00::2/64" } }
 *   0.3.0 to 1.1.0  { interfaces: [{ name, sandbox }], ips: [{ address: "10.0.0.2/24", interface: 0 }] }
 */
import { GantryError } from "../base/errors.ts";
import { formatIp, parseIp } from "./ip-address.ts";
import { isJsonObject, type JsonObject } from "./json-value.ts";

/** A result without a version has that of its configuration. */
export function cniResult(printed: JsonObject, cniVersion: string): JsonObject {
  const { cniVersion: version } = printed;
  return typeof version === "string" && version !== "" ? printed : { ...printed, cniVersion };
}

/**
 * The addresses of the pod's interface, without prefix, in the order of the result: its first is the primary one.
 * Addresses of interfaces outside of the pod are left out.
 *
 * @throws GantryError unavailable for what is no address.
 */
export function cniResultIps(result: JsonObject, ifName: string): string[] {
  const older = ["ip4", "ip6"].map((key) => result[key]).filter(isJsonObject);
  if (older.length > 0) return older.map(({ ip }) => address(ip));
  const interfaces = list(result["interfaces"]);
  const own = list(result["ips"]).filter(({ interface: index }) => {
    const device = typeof index === "number" ? interfaces[index] : undefined;
    return device === undefined || device["name"] === ifName || Boolean(device["sandbox"]);
  });
  const named = own.filter(({ interface: index }) =>
    typeof index === "number" ? interfaces[index]?.["name"] === ifName : true,
  );
  return (named.length > 0 ? named : own).map(({ address: text }) => address(text));
}

function list(value: unknown): JsonObject[] {
  return Array.isArray(value) ? (value as unknown[]).filter(isJsonObject) : [];
}

function address(value: unknown): string {
  const text = typeof value === "string" ? (value.split("/")[0] ?? "") : "";
  try {
    return formatIp(parseIp(text));
  } catch {
    throw new GantryError("unavailable", `the CNI result has ${JSON.stringify(value)} for an address`);
  }
}
