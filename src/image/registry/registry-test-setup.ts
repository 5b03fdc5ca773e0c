/** What the registry client's tests share: a service and registries that end with the test, and checks of failures. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { errorKind, type ErrorKind } from "../../base/errors.ts";
import { openTestService, type TestService } from "../fake-service.ts";
import type { ImageRecord, RegistryAuth } from "../image.ts";
import type { ImageServiceOptions } from "../image-service.ts";
import { FakeRegistry } from "./fake-registry.ts";

export const signal = new AbortController().signal;
/** Credentials whose password no error may show. */
export const AUTH: RegistryAuth = { username: "user", password: "s3cret" };
/** Their basic Authorization header. */
export const BASIC = `Basic ${Buffer.from("user:s3cret").toString("base64")}`;

/** A service and one registry. */
export async function setUp(
  t: TestContext,
  options: Partial<ImageServiceOptions> = {},
): Promise<{ service: TestService; registry: FakeRegistry }> {
  const service = openTestService(options);
  t.after(async () => await service.close());
  return { service, registry: await startRegistry(t) };
}

export async function startRegistry(t: TestContext): Promise<FakeRegistry> {
  const registry = await new FakeRegistry().start();
  t.after(async () => await registry.stop());
  return registry;
}

export async function pull(
  service: TestService,
  reference: string,
  auth?: RegistryAuth,
): Promise<ImageRecord> {
  return await service.images.pull({ reference, ...(auth ? { auth } : {}) }, signal);
}

/** Also checks that no secret is in the message. */
export async function rejects(promise: Promise<unknown>, kind: ErrorKind, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.equal(errorKind(error), kind, String(error));
    assert.match(String(error), message);
    assert.doesNotMatch(String(error), /s3cret|signature=|czNjcmV0/);
    return true;
  });
}
