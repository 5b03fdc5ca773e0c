import assert from "node:assert/strict";
import test from "node:test";
import { statusText } from "./exec-status.ts";

test("from version 4 on, a Status of the API", () => {
  assert.deepEqual(JSON.parse(statusText({ exitCode: 0 }, 4)), { metadata: {}, status: "Success" });
  assert.deepEqual(JSON.parse(statusText({ exitCode: 3 }, 5)), {
    metadata: {},
    status: "Failure",
    message: "command terminated with non-zero exit code: exit code 3",
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: "3" }] },
  });
  assert.deepEqual(JSON.parse(statusText({ error: new Error("no such file") }, 4)), {
    metadata: {},
    status: "Failure",
    message: "no such file",
    reason: "InternalError",
    details: { causes: [{ message: "no such file" }] },
    code: 500,
  });
});

test("before it, text, and nothing for success", () => {
  assert.equal(statusText({ exitCode: 0 }, 3), "");
  assert.match(statusText({ exitCode: 3 }, 1), /exit code 3$/);
  assert.equal(statusText({ error: new Error("no such file") }, 2), "no such file");
});
