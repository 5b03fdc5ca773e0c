import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMountPoints } from "./mount.ts";

test("mount points at and below a directory, last mount first", () => {
  const mountinfo = [
    "22 27 0:21 / /proc rw,relatime - proc proc rw",
    "30 27 0:30 / /run/gantry rw shared:1 - tmpfs tmpfs rw",
    "31 30 0:4 net:[4026532392] /run/gantry/pods/a\\040b/net rw - nsfs nsfs rw",
    "32 30 0:5 / /run/gantry2 rw - tmpfs tmpfs rw",
    "33 30 0:6 / /run/gantry/\\303\\266\\134\\012 rw - tmpfs tmpfs rw",
    "",
  ].join("\n");
  assert.deepEqual(parseMountPoints(mountinfo, "/run/gantry"), [
    "/run/gantry/ö\\\n",
    "/run/gantry/pods/a b/net",
    "/run/gantry",
  ]);
  assert.deepEqual(parseMountPoints(mountinfo, "/run/gantry/pods"), ["/run/gantry/pods/a b/net"]);
  assert.deepEqual(parseMountPoints(mountinfo, "/nowhere"), []);
});
