import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../base/errors.ts";
import { resolveUser, type UserRequest } from "./user-lookup.ts";

const passwd = [
  "root:x:0:0:root:/root:/bin/sh",
  "# comment",
  "web:x:1000:2000::/home/web:/bin/sh",
  "1000:x:0:0::/root:/bin/sh",
  "4294967297:x:0:0::/root:/bin/sh",
  "huge:x:4294967296:0::/:/bin/sh",
  "bad:x:+0:0::/:/bin/sh",
  "short:x",
  "relative:x:5:5::home:/bin/sh",
  "",
].join("\n");
const groups = [
  "root:x:0:",
  "web:x:2000:",
  "disk:x:6:web,other",
  "audio:x:63:root,web",
  "1:x:0:",
  "weird:x:zz:web",
].join("\n");

function resolve(user: string, more: Partial<UserRequest> = {}) {
  return resolveUser({ user, passwd, groups, supplementalGroups: [], policy: "merge", ...more });
}
const invalid = (error: unknown) => error instanceof GantryError && error.kind === "invalid-argument";

test("names, ids and groups resolve as written", () => {
  assert.deepEqual(resolve(""), { uid: 0, gid: 0, additionalGids: [0, 63], username: "root", home: "/root" });
  assert.deepEqual(resolve("web"), {
    uid: 1000,
    gid: 2000,
    additionalGids: [2000, 6, 63],
    username: "web",
    home: "/home/web",
  });
  assert.equal(resolve("web:disk").gid, 6);
  assert.equal(resolve("web:77").gid, 77);
  assert.equal(resolve("web:disk", { group: 9 }).gid, 9);
  assert.deepEqual(resolve("12345", { passwd: undefined, groups: undefined }), {
    uid: 12345,
    gid: 0,
    additionalGids: [0],
    username: undefined,
    home: "/",
  });
  assert.equal(resolve("relative").home, "/");
});

test("digits are an id, whatever passwd says", () => {
  assert.equal(resolve("1000").uid, 1000);
  assert.equal(resolve("1000").username, "web");
  assert.equal(resolve("web:1").gid, 1);
  assert.equal(resolve("2147483647").uid, 2147483647);
});

test("what is too large or malformed is an error and never another user", () => {
  const users = [
    ..."4294967296 4294967297 2147483648 99999999999999999999 huge bad nobody web:nogroup".split(" "),
    ...[
      "1000:",
      ":5",
      ":",
      "+1",
      "-1",
      " 1000",
      "1000 ",
      "web:1:2",
      "web\n",
      "0x0",
      "1e0",
      "web:+6",
      "short",
    ],
  ];
  for (const user of users) assert.throws(() => resolve(user), invalid, user);
  assert.throws(() => resolve("web", { group: 2 ** 31 }), invalid);
  assert.throws(() => resolve("web", { supplementalGroups: [-1] }), invalid);
  assert.throws(() => resolve("web", { supplementalGroups: [1.5] }), invalid);
});

test("the primary group comes first, and memberships count for the merge policy only", () => {
  assert.deepEqual(
    resolve("web", { supplementalGroups: [5, 6], policy: "strict" }).additionalGids,
    [2000, 5, 6],
  );
  assert.deepEqual(resolve("web", { supplementalGroups: [5, 6] }).additionalGids, [2000, 6, 63, 5]);
  assert.deepEqual(resolve("1000", { supplementalGroups: [2000] }).additionalGids, [2000, 6, 63]);
  assert.throws(
    () => resolve("web", { supplementalGroups: Array.from({ length: 70000 }, (_, i) => i) }),
    invalid,
  );
});
