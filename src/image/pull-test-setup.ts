/** What the tests of pulling share. */
import type { TestContext } from "node:test";
import { openTestService, type TestService } from "./fake-service.ts";
import type { ImageRecord } from "./image.ts";
import type { ImageServiceOptions } from "./image-service.ts";
import { FakeRegistry } from "./registry/fake-registry.ts";

export const signal = new AbortController().signal;

/** A service and one registry, which end with the test. */
export async function setUp(
  t: TestContext,
  options: Partial<ImageServiceOptions> = {},
): Promise<TestService & { registry: FakeRegistry; host: string }> {
  const service = openTestService(options);
  const registry = await new FakeRegistry().start();
  t.after(async () => {
    await service.close();
    await registry.stop();
  });
  return { ...service, registry, host: registry.host };
}

export async function pull(service: TestService, reference: string): Promise<ImageRecord> {
  return await service.images.pull({ reference }, signal);
}
