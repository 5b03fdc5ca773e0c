import assert from "node:assert/strict";
import { test } from "node:test";
import { allowedAnnotations, externalHandler, runtimeHandler } from "./runtime-handler.ts";
import { containerConfig, podConfig } from "./sample-config.ts";

const plain = { recursiveReadOnlyMounts: true, userNamespaces: true };

test("a handler is known by its name", () => {
  const handlers = [
    { name: "", ...plain },
    { name: "one", ...plain },
  ];
  assert.equal(runtimeHandler({ handlers }, "one").name, "one");
  assert.throws(() => runtimeHandler({ handlers }, "two"), {
    kind: "not-found",
    message: 'runtime handler "two" is not configured',
  });
  assert.throws(() => externalHandler({ handlers }, { id: "c", externalHandler: "gone" }), {
    kind: "failed-precondition",
    message: 'container "c": its runtime handler "gone" is configured no more',
  });
});

function allowed(podAnnotations: string[], containerAnnotations: string[] = []): Record<string, string> {
  const annotations = {
    "a.com/x": "1",
    "a.com/y": "2",
    "b.com/x": "3",
    "org.systemd.property.Y": "4",
    "io.kubernetes.cri.sandbox-id": "5",
  };
  const sandbox = { config: podConfig({ annotations }) };
  const config = { ...containerConfig(), annotations: { "a.com/x": "container", "c.com/x": "6" } };
  const options = { podAnnotations, containerAnnotations, privilegedWithoutHostDevices: false };
  return allowedAnnotations({ options }, sandbox, config);
}

test("no annotation gets through that nobody has let through", () => {
  assert.deepEqual(allowed([]), {});
  assert.deepEqual(allowed(["a.com/*"]), { "a.com/x": "1", "a.com/y": "2" });
  assert.deepEqual(allowed(["a.com/y", "b.com/*"], ["a.com/x"]), {
    "a.com/x": "container",
    "a.com/y": "2",
    "b.com/x": "3",
  });
});

test("those that act on the host, or are ours, are not among all", () => {
  assert.deepEqual(Object.keys(allowed(["*"])), ["a.com/x", "a.com/y", "b.com/x"]);
  assert.deepEqual(allowed(["org.*"]), {});
  assert.deepEqual(allowed(["org.systemd.property.*"]), { "org.systemd.property.Y": "4" });
  assert.deepEqual(allowed(["org.systemd.property.Y"]), { "org.systemd.property.Y": "4" });
});
