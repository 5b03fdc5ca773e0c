/**
 * Which uid, gid and groups a process gets: from USER of the image or the request, and the image's /etc/passwd
 * and /etc/group. Pure functions over the files' text; whoever reads the files bounds their size and resolves
 * their path inside the image (CVE-2026-47262, CVE-2024-9676).
 *
 * Digits only are always an id and never a name (CVE-2016-3697, CVE-2026-46680), and an id that does not fit in
 * 31 bits is an error, not another user (CVE-2024-40635). Anything malformed ("1000:", ":5", "+1") is an error.
 */
import { GantryError } from "../base/errors.ts";

const MAX_ID = 2 ** 31 - 1;
/** NGROUPS_MAX of the kernel. */
const MAX_GROUPS = 65536;

export interface UserRequest {
  /** "name|uid[:group|gid]"; empty is root. */
  user: string;
  /** Replaces the group of `user`. */
  group?: number;
  /** Text of the image's /etc/passwd and /etc/group; undefined where there is none. */
  passwd: string | undefined;
  groups: string | undefined;
  supplementalGroups: readonly number[];
  /** "merge": the groups that the image's /etc/group lists the user in are added. "strict": they are not. */
  policy: "merge" | "strict";
}

export interface ResolvedUser {
  uid: number;
  gid: number;
  /** Primary gid first, then supplemental ones without repetition (CVE-2022-36109, CVE-2023-25173). */
  additionalGids: number[];
  /** Name in passwd; undefined for an id that has no entry. */
  username: string | undefined;
  /** Home directory in passwd, else "/". */
  home: string;
}

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

/** The number that decimal digits spell; undefined where they are not digits only. @throws invalid-argument above 2^31-1. */
function parseId(text: string, what: string): number | undefined {
  if (!/^[0-9]+$/.test(text)) return undefined;
  const id = Number(text);
  if (id > MAX_ID) throw new GantryError("invalid-argument", `${what} ${text} is larger than ${MAX_ID}`);
  return id;
}

function checkId(id: number, what: string): number {
  if (!Number.isInteger(id) || id < 0 || id > MAX_ID) {
    throw new GantryError("invalid-argument", `${what} ${id} is not between 0 and ${MAX_ID}`);
  }
  return id;
}

function checkName(name: string, what: string): string {
  if (!/^[^\s:,+\-\p{Cc}][^\s:,\p{Cc}]*$/u.test(name)) {
    throw new GantryError("invalid-argument", `${what} ${JSON.stringify(name)} is malformed`);
  }
  return name;
}

/** The first row that matches; a matching row with a malformed id is an error, another's is not looked at. */
function findPasswd(
  passwd: string | undefined,
  match: { name: string } | { uid: number },
): PasswdEntry | undefined {
  const wantedUid = "uid" in match ? String(match.uid) : undefined;
  const wantedName = "name" in match ? match.name : undefined;
  for (const line of rows(passwd)) {
    const [name, , uid, gid, , home] = line.split(":");
    if (name === undefined || uid === undefined || gid === undefined) continue;
    if (wantedName !== undefined ? name !== wantedName : uid !== wantedUid) continue;
    const uidNumber = parseId(uid, `uid of user ${JSON.stringify(name)} in /etc/passwd`);
    const gidNumber = parseId(gid, `gid of user ${JSON.stringify(name)} in /etc/passwd`);
    if (uidNumber === undefined || gidNumber === undefined) {
      throw new GantryError(
        "invalid-argument",
        `user ${JSON.stringify(name)} in /etc/passwd has a malformed id`,
      );
    }
    return {
      name,
      uid: uidNumber,
      gid: gidNumber,
      home: home?.startsWith("/") && !/\p{Cc}/u.test(home) ? home : "/",
    };
  }
  return undefined;
}

function findGroup(groups: string | undefined, name: string): number | undefined {
  for (const line of rows(groups)) {
    const [groupName, , gid] = line.split(":");
    if (groupName !== name || gid === undefined) continue;
    const id = parseId(gid, `gid of group ${JSON.stringify(name)} in /etc/group`);
    if (id === undefined)
      throw new GantryError(
        "invalid-argument",
        `group ${JSON.stringify(name)} in /etc/group has a malformed id`,
      );
    return id;
  }
  return undefined;
}

function memberships(groups: string | undefined, username: string): number[] {
  const gids: number[] = [];
  for (const line of rows(groups)) {
    const [name, , gid, members] = line.split(":");
    if (gid === undefined || members === undefined || !members.split(",").includes(username)) continue;
    const id = parseId(gid, `gid of group ${JSON.stringify(name)} in /etc/group`);
    if (id !== undefined) gids.push(id);
  }
  return gids;
}

function* rows(text: string | undefined): Generator<string> {
  if (text === undefined) return;
  for (let start = 0; start < text.length;) {
    let end = text.indexOf("\n", start);
    if (end < 0) end = text.length;
    const line = text.slice(start, end);
    start = end + 1;
    if (line !== "" && !line.startsWith("#")) yield line;
  }
}

/**
 * @throws GantryError invalid-argument for a malformed or too large id, and for a name that the image does not
 *   have.
 */
export function resolveUser(request: UserRequest): ResolvedUser {
  const colon = request.user.indexOf(":");
  const userPart = colon < 0 ? request.user : request.user.slice(0, colon);
  const groupPart = colon < 0 ? undefined : request.user.slice(colon + 1);
  if (request.user !== "" && (userPart === "" || groupPart === "")) {
    throw new GantryError("invalid-argument", `user ${JSON.stringify(request.user)} is malformed`);
  }

  let entry: PasswdEntry | undefined;
  let uid = userPart === "" ? 0 : parseId(userPart, "uid");
  if (uid === undefined) {
    entry = findPasswd(request.passwd, { name: checkName(userPart, "user") });
    if (!entry)
      throw new GantryError(
        "invalid-argument",
        `user ${JSON.stringify(userPart)} is not in the image's /etc/passwd`,
      );
    uid = entry.uid;
  } else {
    entry = findPasswd(request.passwd, { uid });
  }

  let gid = entry?.gid ?? 0;
  if (request.group !== undefined) {
    gid = checkId(request.group, "gid");
  } else if (groupPart !== undefined) {
    const named = parseId(groupPart, "gid") ?? findGroup(request.groups, checkName(groupPart, "group"));
    if (named === undefined) {
      throw new GantryError(
        "invalid-argument",
        `group ${JSON.stringify(groupPart)} is not in the image's /etc/group`,
      );
    }
    gid = named;
  }

  const all = new Set([gid]);
  if (request.policy === "merge" && entry)
    for (const id of memberships(request.groups, entry.name)) all.add(id);
  for (const id of request.supplementalGroups) all.add(checkId(id, "supplemental group"));
  if (all.size > MAX_GROUPS)
    throw new GantryError("invalid-argument", `${all.size} groups are more than ${MAX_GROUPS}`);
  return { uid, gid, additionalGids: [...all], username: entry?.name, home: entry?.home ?? "/" };
}
