import assert from "node:assert/strict";
import test from "node:test";
import { imageServiceDefinition, messageType, runtimeServiceDefinition } from "./protocol.ts";

test("both services are whole: 43 RPCs, 7 of them streams", () => {
  const methods = Object.values({ ...runtimeServiceDefinition, ...imageServiceDefinition });
  assert.equal(Object.keys(runtimeServiceDefinition).length, 37);
  assert.equal(Object.keys(imageServiceDefinition).length, 6);
  assert.equal(methods.filter((method) => method.responseStream).length, 7);
  assert.equal(runtimeServiceDefinition["Version"]?.path, "/runtime.v1.RuntimeService/Version");
  assert.equal(imageServiceDefinition["PullImage"]?.path, "/runtime.v1.ImageService/PullImage");
});

test("64-bit integers are exact both ways", () => {
  const method = runtimeServiceDefinition["PodSandboxStatus"]!;
  for (const createdAt of ["1763700000123456789", "9223372036854775807", "-9223372036854775808"]) {
    const bytes = method.responseSerialize({ status: { created_at: createdAt } });
    const reply = method.responseDeserialize(bytes) as { status: { created_at: string } };
    assert.equal(reply.status.created_at, createdAt);
  }
  const stats = runtimeServiceDefinition["ContainerStats"]!;
  const large = { stats: { cpu: { usage_core_nano_seconds: { value: "18446744073709551615" } } } };
  const reply = stats.responseDeserialize(stats.responseSerialize(large)) as typeof large;
  assert.equal(reply.stats.cpu.usage_core_nano_seconds.value, "18446744073709551615");
});

test("odd field names keep their case, bytes stay bytes, absent parts have defaults", () => {
  const method = runtimeServiceDefinition["CreateContainer"]!;
  const bytes = method.requestSerialize({
    config: {
      CDI_devices: [{ name: "vendor.com/gpu=0" }],
      mounts: [{ uidMappings: [{ host_id: 5 }] }],
      envs: [{ key: "K", value: Buffer.from([0xff, 0x00]) }],
    },
  });
  const { config } = method.requestDeserialize(bytes) as { config: Record<string, never> };
  assert.deepEqual(config["CDI_devices"], [{ name: "vendor.com/gpu=0" }]);
  assert.deepEqual(config["mounts"]?.[0]?.["uidMappings"], [{ host_id: 5, container_id: 0, length: 0 }]);
  assert.deepEqual(config["envs"], [{ key: "K", value: Buffer.from([0xff, 0x00]) }]);
  assert.equal(config["metadata"], null);
  assert.deepEqual(config["labels"], {});
  assert.equal(config["stop_signal"], "SIGNAL_RUNTIME_DEFAULT");
});

test("a label named __proto__ is a label", () => {
  const type = messageType("PodSandboxFilter");
  const labels = JSON.parse(`{"__proto__":"x"}`) as object;
  const bytes = type.encode({ label_selector: labels }).finish();
  const back = type.toObject(type.decode(bytes)) as { label_selector: object };
  assert.deepEqual(Object.entries(back.label_selector), [["__proto__", "x"]]);
});

test("every message's fields carry the protocol's numbers", () => {
  // Spot checks of numbers that do not follow the order of the fields.
  const numbers = (name: string): Record<string, number> =>
    Object.fromEntries(messageType(name).fieldsArray.map((field) => [field.name, field.id]));
  assert.deepEqual(numbers("ImageSpec"), {
    image: 1,
    annotations: 2,
    user_specified_image: 18,
    runtime_handler: 19,
    image_ref: 20,
  });
  assert.equal(numbers("LinuxContainerSecurityContext")["supplemental_groups_policy"], 17);
  assert.equal(numbers("LinuxSandboxSecurityContext")["run_as_group"], 8);
  assert.equal(numbers("Namespace")["options"], 2);
  assert.equal(numbers("ContainerStatus")["stop_signal"], 19);
});
