import assert from "node:assert/strict";
import { test } from "node:test";
import { errorKind } from "../base/errors.ts";
import { formatReference, parseReference } from "./reference.ts";

const HEX = "a".repeat(64);
const DIGEST = `sha256:${HEX}`;

const valid: [string, string][] = [
  ["busybox", "docker.io/library/busybox:latest"],
  ["busybox:1.36", "docker.io/library/busybox:1.36"],
  ["user/app", "docker.io/user/app:latest"],
  ["docker.io/busybox", "docker.io/library/busybox:latest"],
  ["index.docker.io/busybox", "docker.io/library/busybox:latest"],
  ["index.docker.io/a/b:1", "docker.io/a/b:1"],
  ["localhost/app", "localhost/app:latest"],
  ["localhost:5000/app:v1", "localhost:5000/app:v1"],
  ["127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"],
  ["[::1]:5000/app", "[::1]:5000/app:latest"],
  ["registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"],
  ["Registry.K8s.IO/pause:3.10", "registry.k8s.io/pause:3.10"],
  [`busybox@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
  [`busybox:1@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
  [`host:5000/a/b:t@${DIGEST}`, `host:5000/a/b@${DIGEST}`],
  ["a/b__c--d.e_f/g:Tag_1.2-3", "docker.io/a/b__c--d.e_f/g:Tag_1.2-3"],
  [`x:${"t".repeat(128)}`, `docker.io/library/x:${"t".repeat(128)}`],
];

for (const [text, normal] of valid) {
  test(`${text.slice(0, 60)} is ${normal.slice(0, 60)}`, () => {
    assert.equal(formatReference(parseReference(text)), normal);
    assert.equal(formatReference(parseReference(normal)), normal, "the normal form is stable");
  });
}

const invalid: [string, RegExp][] = [
  ["", /is empty/],
  ["Busybox", /must be lower case/],
  ["host.io/App", /must be lower case/],
  ["HOST/app", /must be lower case/],
  ["busybox:", /bad tag ""/],
  ["busybox:a b", /bad tag/],
  [`busybox:${"t".repeat(129)}`, /bad tag/],
  ["busybox:.x", /bad tag/],
  ["busybox@sha256:abc", /bad digest/],
  [`busybox@sha512:${HEX}${HEX}`, /bad digest/],
  [`busybox@sha256:${HEX.toUpperCase()}`, /bad digest/],
  ["busybox@sha256:../../x", /bad digest/],
  [DIGEST, /image id/],
  [HEX, /image id/],
  ["a//b", /empty component/],
  ["a/b/", /empty component/],
  ["host.io/", /repository is empty/],
  ["/a", /empty component/],
  ["host:99999/a", /bad port/],
  ["host:0/a", /bad port/],
  ["ho_st.io/a", /bad registry host/],
  ["-host.io/a", /bad registry host/],
  ["http://host/a", /bad registry host/],
  ["../a", /bad registry host/],
  ["a/../b", /bad repository component/],
  ["a/b\n", /bad repository component/],
  ["a/b ", /bad repository component/],
  ["a/-b", /bad repository component/],
  ["a/b___c", /bad repository component/],
  [`a/${"b".repeat(254)}`, /longer than 255/],
  ["x".repeat(5000), /too long/],
  ["a/\u00e9", /bad repository component/],
];

for (const [text, message] of invalid) {
  test(`${JSON.stringify(text.slice(0, 60))} is refused`, () => {
    assert.throws(
      () => parseReference(text),
      (error: unknown) => errorKind(error) === "invalid-argument" && message.test(String(error)),
    );
  });
}
