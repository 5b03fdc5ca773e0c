/** What is written by hand is what protobufjs reads, at every length where the form changes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { messageType } from "./protocol.ts";
import { WireWriter } from "./wire-writer.ts";

function decode(type: string, writer: WireWriter): Record<string, unknown> {
  const decoder = messageType(type);
  return decoder.toObject(decoder.decode(writer.finish().bytes), { longs: String, defaults: true });
}

test("numbers up to 64 bits, as numbers and as bigints", () => {
  const values = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32, 2 ** 35, 2 ** 53 - 1];
  const big = [0n, 127n, 0xffff_ffffn, 0x1_0000_0000n, 1_763_700_003_000_000_007n, 2n ** 64n - 1n];
  for (const value of [...values, ...big]) {
    const writer = new WireWriter(1);
    writer.number(1, value);
    assert.deepEqual(decode("UInt64Value", writer), { value: String(value) });
  }
});

test("messages in messages, of every length, in a buffer that grows", () => {
  for (const length of [0, 1, 100, 124, 125, 126, 127, 128, 200, 16_377, 16_378, 16_383, 16_384, 100_000]) {
    const writer = new WireWriter(1);
    const outer = writer.begin(2);
    writer.string(1, "x".repeat(length));
    writer.count(5, length);
    writer.end(outer);
    writer.string(1, "after");
    const { container_id: id, metrics } = decode("ContainerMetrics", writer) as {
      container_id: string;
      metrics: { name: string; value: { value: string } }[];
    };
    assert.equal(id, "after");
    assert.deepEqual([metrics[0]?.name.length, metrics[0]?.value.value], [length, String(length)]);
  }
});

test("zero is a count, and undefined is none; doubles keep their fractions", () => {
  const writer = new WireWriter();
  writer.count(2, 0);
  writer.count(3, undefined);
  assert.deepEqual(decode("CpuUsage", writer), {
    timestamp: "0",
    usage_core_nano_seconds: { value: "0" },
    usage_nano_cores: null,
    psi: null,
  });
  const pressure = new WireWriter();
  pressure.number(1, 5);
  pressure.double(2, 99.99);
  pressure.double(4, 0);
  assert.deepEqual(decode("PsiData", pressure), { Total: "5", Avg10: 99.99, Avg60: 0, Avg300: 0 });
});

test("parts one after the other are one list", () => {
  const writer = new WireWriter();
  for (const id of ["a", "b"]) {
    const pod = writer.begin(1);
    writer.string(1, id);
    writer.end(pod);
  }
  const { pod_metrics: pods } = decode("ListPodSandboxMetricsResponse", writer) as {
    pod_metrics: { pod_sandbox_id: string }[];
  };
  assert.deepEqual(
    pods.map(({ pod_sandbox_id: id }) => id),
    ["a", "b"],
  );
});
