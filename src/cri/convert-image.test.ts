import assert from "node:assert/strict";
import test from "node:test";
import { imageMessage, registryAuth } from "./convert-image.ts";
import { sampleImage } from "./fake-engine.ts";

function userOf(user: string): { uid?: unknown; username?: unknown } {
  const { uid, username } = imageMessage({ ...sampleImage, config: { ...sampleImage.config, user } });
  return { uid, username };
}

test("an image's user is a number or a name, never both", () => {
  assert.deepEqual(userOf("1000"), { uid: { value: 1000 }, username: undefined });
  assert.deepEqual(userOf("0:0"), { uid: { value: 0 }, username: undefined });
  assert.deepEqual(userOf("www-data"), { uid: undefined, username: "www-data" });
  assert.deepEqual(userOf("www-data:33"), { uid: undefined, username: "www-data" });
  assert.deepEqual(userOf(""), { uid: undefined, username: "" });
});

test("a number beyond user ids is not wrapped round to somebody else's", () => {
  for (const user of ["2147483648", "4294967296", "99999999999999999999", "+1", "-1", "0x0"])
    assert.deepEqual(userOf(user), { uid: undefined, username: user });
});

test("credentials: only what was given, and none at all if nothing was", () => {
  const none = {
    username: "",
    password: "",
    auth: "",
    server_address: "",
    identity_token: "",
    registry_token: "",
  };
  assert.equal(registryAuth(null), undefined);
  assert.equal(registryAuth(none), undefined);
  assert.deepEqual(registryAuth({ ...none, username: "u", password: "p" }), { username: "u", password: "p" });
});
