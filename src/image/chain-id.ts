/**
 * ChainIDs: the name of a stack of layers (OCI image specification, config.md, "Layer ChainID").
 *
 *   chainID(L0) = diffID(L0)        chainID(L0|…|Ln) = sha256(chainID(L0|…|Ln-1) + " " + diffID(Ln))
 */
import { createHash } from "node:crypto";
import { parseDigest, type Digest } from "../base/digest.ts";

/** The chainID of each prefix of the stack, lowest layer first; the last one names the whole. */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    chain.push(
      parent === undefined
        ? diffId
        : parseDigest(`sha256:${createHash("sha256").update(`${parent} ${diffId}`).digest("hex")}`),
    );
  }
  return chain;
}
