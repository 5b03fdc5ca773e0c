import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "./logging.ts";

function collector() {
  const lines: string[] = [];
  return { lines, stream: { write: (line: string) => void lines.push(line) } };
}

test("a secret field is blanked at the top and one level down", async () => {
  const { lines, stream } = collector();
  const log = await createLogger({ level: "debug", format: "json" }, stream);
  log.info({ auth: "s3cret", request: { password: "s3cret", headers: 1 }, name: "kept" }, "pulled");
  log.child({ token: "s3cret" }).warn({}, "child");
  const text = lines.join("");
  assert.ok(!text.includes("s3cret"), text);
  assert.match(text, /"name":"kept"/);
});

test("json lines carry level and time, and the level holds back", async () => {
  const { lines, stream } = collector();
  const log = await createLogger({ level: "warn", format: "json" }, stream);
  log.info({}, "not this");
  log.error({ err: new Error("why") }, "but this");
  assert.equal(lines.length, 1);
  const record = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
  assert.equal(record["level"], "error");
  assert.equal(record["msg"], "but this");
  assert.match(String(record["time"]), /^\d{4}-\d\d-\d\dT/);
  assert.match(JSON.stringify(record["err"]), /"message":"why"/);
});

test("the pretty form is for people", async () => {
  const { lines, stream } = collector();
  const log = await createLogger({ level: "info", format: "pretty" }, stream);
  log.info({ pod: "web" }, "started");
  assert.match(lines.join(""), /INFO.*started.*"pod":"web"/);
});
