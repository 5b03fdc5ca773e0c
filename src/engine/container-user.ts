/**
 * Who a container's first process is: the request's user, else the image's, looked up in the image's own /etc/passwd
 * and /etc/group. The two files are read once for each image.
 */
import { GantryError } from "../base/errors.ts";
import type { ImageRecord } from "../image/image.ts";
import { resolveUser, type ResolvedUser } from "../oci/user-lookup.ts";
import type { ContainerSecurity } from "./container.ts";
import type { EngineContext } from "./engine-context.ts";

/** Larger than any real one; a larger file is refused (CVE-2026-47262). */
const ACCOUNT_FILE_LIMIT_BYTES = 1024 * 1024;
const CACHE_LIMIT = 200;

interface Accounts {
  passwd: string | undefined;
  groups: string | undefined;
}

export class AccountCache {
  readonly #byChain = new Map<string, Accounts>();

  /** The account files of a chain of layers, the same for every container made of it. */
  async read(context: Pick<EngineContext, "snapshotter">, image: ImageRecord): Promise<Accounts> {
    const { chainId } = image;
    if (!chainId) return { passwd: undefined, groups: undefined };
    const known = this.#byChain.get(chainId);
    if (known) return known;
    const [passwd, groups] = await Promise.all(
      ["/etc/passwd", "/etc/group"].map((path) =>
        context.snapshotter.readFile(chainId, path, ACCOUNT_FILE_LIMIT_BYTES),
      ),
    );
    const accounts = { passwd: passwd?.toString("utf8"), groups: groups?.toString("utf8") };
    if (this.#byChain.size >= CACHE_LIMIT) this.#byChain.clear();
    this.#byChain.set(chainId, accounts);
    return accounts;
  }
}

/** @throws invalid-argument for a user or group that the image does not have, or an id out of range. */
export function containerUser(
  security: ContainerSecurity,
  image: ImageRecord,
  accounts: Accounts,
): ResolvedUser {
  const { runAsUsername: name } = security;
  if (name.includes(":"))
    throw new GantryError("invalid-argument", `user ${JSON.stringify(name)} is malformed`);
  const user =
    security.runAsUser !== undefined
      ? String(security.runAsUser)
      : security.runAsUsername !== ""
        ? security.runAsUsername
        : image.config.user;
  const resolved = resolveUser({
    user,
    ...(security.runAsGroup !== undefined && { group: security.runAsGroup }),
    passwd: accounts.passwd,
    groups: accounts.groups,
    supplementalGroups: security.supplementalGroups,
    policy: security.supplementalGroupsPolicy,
  });
  // Digits are an id and no name; asked for as a name they must be in the image none the less.
  if (security.runAsUser === undefined && name !== "" && resolved.username === undefined)
    throw new GantryError(
      "invalid-argument",
      `user ${JSON.stringify(name)} is not in the image's /etc/passwd`,
    );
  return resolved;
}
