import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../base/errors.ts";
import {
  CAPABILITY_NAMES,
  capabilityMask,
  capabilityName,
  capabilityNames,
  containerCapabilities,
  DEFAULT_CAPABILITIES,
} from "./capabilities.ts";

const none = { add: [], drop: [], addAmbient: [] };
const full = { capabilities: (1n << 41n) - 1n };
const withoutResource = { capabilities: full.capabilities & ~capabilityMask(["CAP_SYS_RESOURCE"]) };

test("names and numbers agree with the kernel's header", () => {
  assert.equal(CAPABILITY_NAMES.length, 41);
  assert.equal(CAPABILITY_NAMES[21], "CAP_SYS_ADMIN");
  assert.equal(CAPABILITY_NAMES[40], "CAP_CHECKPOINT_RESTORE");
  assert.equal(capabilityName("net_raw"), "CAP_NET_RAW");
  assert.deepEqual(capabilityNames(capabilityMask(["CAP_KILL", "CAP_CHOWN"])), ["CAP_CHOWN", "CAP_KILL"]);
});

test("the default set has no inheritable and no ambient capability", () => {
  const sets = containerCapabilities(none, false, full);
  assert.deepEqual([...(sets.bounding ?? [])].sort(), [...DEFAULT_CAPABILITIES].sort());
  assert.deepEqual(sets.effective, sets.bounding);
  assert.deepEqual(sets.inheritable, []);
  assert.deepEqual(sets.ambient, []);
  assert.equal(containerCapabilities(none, false, full), sets, "computed once");
  assert.throws(() => sets.bounding?.push("CAP_SYS_ADMIN"));
});

test("adds and drops, with ALL on either side", () => {
  const bounding = (add: string[], drop: string[]) =>
    containerCapabilities({ add, drop, addAmbient: [] }, false, full).bounding;
  assert.ok(bounding(["NET_ADMIN"], [])?.includes("CAP_NET_ADMIN"));
  assert.ok(!bounding([], ["cap_chown"])?.includes("CAP_CHOWN"));
  assert.deepEqual(bounding(["CHOWN"], ["ALL"]), ["CAP_CHOWN"]);
  assert.equal(bounding(["ALL"], ["MKNOD"])?.length, 40);
  assert.deepEqual(bounding([], ["all"]), []);
});

test("ambient capabilities are in every set", () => {
  const sets = containerCapabilities(
    { add: [], drop: ["ALL"], addAmbient: ["NET_BIND_SERVICE"] },
    false,
    full,
  );
  for (const set of Object.values(sets)) assert.deepEqual(set, ["CAP_NET_BIND_SERVICE"]);
});

test("a host that lacks one: privileged copes, an explicit wish fails", () => {
  const sets = containerCapabilities({ add: [], drop: ["ALL"], addAmbient: [] }, true, withoutResource);
  assert.equal(sets.bounding?.length, 40);
  assert.ok(
    !containerCapabilities({ ...none, add: ["ALL"] }, false, withoutResource).bounding?.includes(
      "CAP_SYS_RESOURCE",
    ),
  );
  assert.throws(
    () => containerCapabilities({ ...none, add: ["SYS_RESOURCE"] }, false, withoutResource),
    (error) => error instanceof GantryError && error.kind === "failed-precondition",
  );
});

test("unknown names are refused", () => {
  for (const name of ["NOT_A_CAP", "CAP_", "", "CAP_CAP_CHOWN", "CHOWN "]) {
    assert.throws(() => containerCapabilities({ ...none, add: [name] }, false, full), GantryError);
    assert.throws(() => containerCapabilities({ ...none, drop: [name] }, false, full), GantryError);
  }
});
