/**
 * The network configuration that is written from a template, where the node has none, once the kubelet has told the
 * range of the node's pods. For clusters whose nodes need nothing but that range.
 *
 *   {{.PodCIDR}}         the first range             10.1.2.0/24
 *   {{.PodCIDRRanges}}   all, for host-local         [[{"subnet":"10.1.2.0/24"}],[{"subnet":"fd00:2::/64"}]]
 *   {{.Routes}}          a default route for each    [{"dst":"0.0.0.0/0"},{"dst":"::/0"}]
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoCode, GantryError, wrapError } from "../base/errors.ts";
import { parseConfList } from "./cni-conf.ts";

/** The name of the file that is written. */
export const TEMPLATED_CONF = "10-gantry-net.conflist";

/** @throws GantryError failed-precondition that names the template. */
export async function writeTemplatedConf(
  template: string,
  directory: string,
  podCidrs: readonly string[],
): Promise<void> {
  const path = join(directory, TEMPLATED_CONF);
  try {
    const text = fillTemplate(await readFile(template, "utf8"), podCidrs);
    parseConfList(text);
    if ((await readFile(path, "utf8").catch(() => "")) === text) return;
    await mkdir(directory, { recursive: true, mode: 0o755 });
    // Not a name that is read as a configuration, until it is whole.
    const half = `${path}.new`;
    await writeFile(half, text, { mode: 0o644 });
    await rename(half, path).catch(async (error: unknown) => {
      await rm(half, { force: true });
      throw error;
    });
  } catch (error) {
    const kind = errnoCode(error) === undefined ? undefined : "failed-precondition";
    throw wrapError(`CNI configuration template ${template}`, error, kind);
  }
}

/** @throws GantryError failed-precondition for a placeholder that does not exist. */
export function fillTemplate(template: string, podCidrs: readonly string[]): string {
  const [first = ""] = podCidrs;
  const values: Readonly<Record<string, string>> = {
    PodCIDR: first,
    PodCIDRRanges: JSON.stringify(podCidrs.map((subnet) => [{ subnet }])),
    Routes: JSON.stringify(podCidrs.map((cidr) => ({ dst: cidr.includes(":") ? "::/0" : "0.0.0.0/0" }))),
  };
  return template.replaceAll(/\{\{-?\s*(.*?)\s*-?\}\}/gs, (whole, name: string) => {
    const value =
      Object.hasOwn(values, name.slice(1)) && name.startsWith(".") ? values[name.slice(1)] : undefined;
    if (value === undefined)
      throw new GantryError(
        "failed-precondition",
        `it has ${whole}, which is none of ${Object.keys(values).join(", ")}`,
      );
    return value;
  });
}
