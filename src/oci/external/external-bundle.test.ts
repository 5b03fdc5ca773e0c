import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mount, Spec } from "../runtime-spec.ts";
import { externalConfig } from "./external-bundle.ts";

const spec = (mounts: Mount[], more: Partial<Spec> = {}): Spec => ({
  ociVersion: "1.3.0",
  root: { path: "rootfs", readonly: true },
  mounts,
  ...more,
});
const options = { bundle: "/b", ociVersionMax: undefined, annotations: {} };

test("what a runtime knows goes to it as it is", () => {
  const mount = { destination: "/v", type: "bind", source: "/s", options: ["rbind", "rslave", "ro"] };
  const asked = spec([mount], { annotations: { a: "1", b: "2" } });
  const config = externalConfig(asked, { ...options, annotations: { b: "ours" } });
  assert.deepEqual(config.prepared, []);
  assert.deepEqual(config.spec.mounts, [mount]);
  assert.deepEqual(config.spec.root, { path: "/b/rootfs", readonly: true });
  assert.deepEqual(config.spec.annotations, { a: "1", b: "ours" });
});

test("volumes out of images and id-mapped ones are bound from where they are prepared", () => {
  const image = {
    destination: "/i",
    type: "image",
    source: "key",
    options: ["ro", "noexec", "subpath=etc/x"],
  };
  const mapped = {
    destination: "/m",
    type: "bind",
    source: "/s",
    options: ["rbind", "ridmap", "rw"],
    uidMappings: [{ containerID: 0, hostID: 1000, size: 1 }],
    gidMappings: [{ containerID: 0, hostID: 1000, size: 1 }],
  };
  const { spec: config, prepared } = externalConfig(spec([image, mapped]), options);
  assert.deepEqual(prepared, [
    { mount: image, path: "/b/mounts/0" },
    { mount: mapped, path: "/b/mounts/1" },
  ]);
  assert.deepEqual(config.mounts, [
    {
      destination: "/i",
      type: "bind",
      source: "/b/mounts/0",
      options: ["rbind", "rprivate", "ro", "noexec"],
    },
    { destination: "/m", type: "bind", source: "/b/mounts/1", options: ["rbind", "rw"] },
  ]);
});

test("the version is one that the runtime knows", () => {
  const version = (ociVersionMax: string | undefined): string =>
    externalConfig(spec([]), { ...options, ociVersionMax }).spec.ociVersion;
  assert.equal(version(undefined), "1.0.2");
  assert.equal(version("1.0.2-dev"), "1.0.2-dev");
  assert.equal(version("1.2.1"), "1.2.1");
  assert.equal(version("1.10.0"), "1.3.0");
});

test("devices in a user namespace are the host's nodes", () => {
  const device = { type: "c", path: "/dev/null", major: 1, minor: 3 };
  const linux = { namespaces: [{ type: "user" as const, path: "/u" }], devices: [device] };
  const { spec: config } = externalConfig(spec([], { linux }), options);
  assert.deepEqual(config.linux?.devices, []);
  assert.deepEqual(
    config.mounts?.map(({ destination, source }) => [destination, source]),
    [["/dev/null", "/dev/null"]],
  );
});
