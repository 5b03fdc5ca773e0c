/**
 * Who a process is: capabilities that an exec of a file could hand on, names that look like numbers, numbers that are too
 * large. CVE-2022-29162, CVE-2022-24769, CVE-2022-27649, CVE-2022-27650, CVE-2022-27652, CVE-2018-1000400,
 * CVE-2026-30892, CVE-2016-3697, CVE-2024-40635, CVE-2026-46680.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { file } from "../harness/image-builder.ts";
import { Gantryd } from "./way-gantryd.ts";
import { GantryOci } from "./way-gantry-oci.ts";
import { bothWays } from "./way.ts";

const STATUS = "grep -E '^Cap(Inh|Amb|Eff)' /proc/self/status";
/** Effective capabilities differ; the two others are empty. */
const EMPTY = /^CapInh:\t0{16}\nCapEff:\t[0-9a-f]{16}\nCapAmb:\t0{16}\n$/;
const NONE = /^CapInh:\t0{16}\nCapEff:\t0{16}\nCapAmb:\t0{16}\n$/;

bothWays((way) => {
  test("inheritable and ambient capabilities are empty, for run and exec (CVE-2022-29162, CVE-2018-1000400)", async () => {
    assert.match((await way().run({ command: STATUS })).output, EMPTY);
    assert.match((await way().run({ command: STATUS, capabilities: ["NET_RAW"] })).output, EMPTY);
    const user = { uid: 1000, gid: 1000 };
    assert.match((await way().run({ command: STATUS, user, capabilities: ["NET_RAW"] })).output, NONE);
    const running = await way().start({
      command: "while :; do sleep 1; done",
      capabilities: ["NET_RAW"],
      user,
    });
    try {
      assert.match((await running.exec(STATUS)).output, NONE);
    } finally {
      await running.end();
    }
  });
});

test("gantry-oci: exec's user is two numbers, or an error; added capabilities are not inheritable (CVE-2026-30892)", async () => {
  const way = new GantryOci();
  try {
    const running = await way.start({ command: "while :; do sleep 1; done" });
    const id = "a1";
    const exec = (...args: string[]) => way.oci(["exec", ...args]);
    assert.match((await exec("--cap", "NET_RAW", id, "sh", "-c", STATUS)).stdout, EMPTY);
    assert.equal((await exec("-u", "1000:5", id, "id")).stdout.trim(), "uid=1000 gid=5");
    for (const user of [
      "1000:",
      ":5",
      "4294967296",
      "4294967295:0",
      "root",
      "+1",
      "-1",
      "1e3",
      "0x0",
      " 1",
      "1:2:3",
    ]) {
      const { code, stdout } = await exec("-u", user, id, "id");
      assert.notEqual(code, 0, user);
      assert.equal(stdout, "", user);
    }
    await running.end();
  } finally {
    await way.close();
  }
});

test("gantryd: a name of digits is no name, and a number that is too large is refused (CVE-2016-3697, CVE-2024-40635, CVE-2026-46680)", async () => {
  const way = await Gantryd.open();
  const passwd = ["root:x:0:0::/root:/bin/sh", "1000:x:0:0::/:/bin/sh", "4294967297:x:0:0::/:/bin/sh", ""];
  const image = [file("etc/passwd", passwd.join("\n")), file("etc/group", "root:x:0:\n1000:x:0:\n")];
  const run = (User: string, security_context: object = {}) =>
    way.runImage(image, { Cmd: ["id", "-u"], User }, { command: [], linux: { security_context } });
  try {
    for (const outcome of [await run("1000"), await run("1000:1000")])
      assert.deepEqual(outcome, { refused: undefined, output: "1000\n", exitCode: 0 });
    assert.ok((await run("", { run_as_username: "1000" })).refused, "not the row of that name");
    for (const user of [
      "4294967297",
      "4294967296",
      "2147483648",
      "2147483648:0",
      "99999999999999999999",
      "-1",
    ]) {
      assert.ok((await run(user)).refused, user);
      assert.ok((await run("", { run_as_username: user })).refused, user);
    }
  } finally {
    await way.close();
  }
});
