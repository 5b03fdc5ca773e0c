import assert from "node:assert/strict";
import { test } from "node:test";
import { checkArgumentCount, parseArguments } from "./argument-parse.ts";
import type { OptionTable } from "./command-declaration.ts";

const TABLE = {
  "pid-file": { kind: "value", value: "file", help: "" },
  bundle: { kind: "value", short: "b", value: "dir", default: ".", help: "" },
  format: {
    kind: "value",
    short: "f",
    value: "format",
    default: "table",
    choices: ["table", "json"],
    help: "",
  },
  env: { kind: "list", short: "e", value: "key=value", help: "" },
  detach: { kind: "flag", short: "d", help: "" },
  tty: { kind: "flag", short: "t", help: "" },
  "preserve-fds": { kind: "count", value: "n", help: "" },
} satisfies OptionTable;
const DEFAULTS = { bundle: ".", format: "table", env: [], detach: false, tty: false, preserveFds: 0 };

const parsed = (line: string, optionsFirst = false) =>
  parseArguments(line.split(" ").filter(Boolean), TABLE, optionsFirst);

test("every way to write an option", () => {
  assert.deepEqual(parsed(""), { values: DEFAULTS, args: [] });
  const all = {
    ...DEFAULTS,
    pidFile: "p",
    bundle: "/b",
    env: ["A=1", "B=x=y"],
    detach: true,
    preserveFds: 2,
  };
  for (const line of [
    "--pid-file p --bundle /b --env A=1 --env B=x=y --detach --preserve-fds 2 id",
    "--pid-file=p -b /b -e A=1 -e=B=x=y -d --preserve-fds=2 id",
    "-pid-file p -b=/b id -e A=1 -env B=x=y -detach=true -preserve-fds 2",
  ])
    assert.deepEqual(parsed(line), { values: all, args: ["id"] }, line);
  assert.deepEqual(parsed("-dt --tty=false").values, { ...DEFAULTS, detach: true });
  assert.deepEqual(parsed("-dtb /x id"), {
    values: { ...DEFAULTS, detach: true, tty: true, bundle: "/x" },
    args: ["id"],
  });
});

test("a value is a value, whatever it looks like", () => {
  assert.deepEqual(parsed("--pid-file --detach -e -1"), {
    values: { ...DEFAULTS, pidFile: "--detach", env: ["-1"] },
    args: [],
  });
});

test("what follows the first argument, or two dashes, is passed on", () => {
  assert.deepEqual(parsed("-t id ls -t -- x", true), {
    values: { ...DEFAULTS, tty: true },
    args: ["id", "ls", "-t", "--", "x"],
  });
  assert.deepEqual(parsed("id -- -t --").args, ["id", "-t", "--"]);
  assert.deepEqual(parsed("-").args, ["-"]);
});

test("what is wrong is named", () => {
  const cases: [string, RegExp][] = [
    ["--nothing", /not defined: --nothing$/],
    ["--nothing=1", /not defined: --nothing$/],
    ["-x", /not defined: -x$/],
    ["-dx", /not defined: -dx$/],
    ["-bd /x", /not defined: -bd$/],
    ["--constructor", /not defined/],
    ["--pid-file", /--pid-file needs a value/],
    ["-b", /-b needs a value/],
    ["--tty=maybe", /--tty: true or false/],
    ["-f xml", /"xml" for -f: one of table, json/],
    ["--preserve-fds -1", /"-1" for --preserve-fds/],
    ["--preserve-fds=x", /"x" for --preserve-fds/],
  ];
  for (const [line, message] of cases) assert.throws(() => parsed(line), message, line);
});

test("the number of arguments", () => {
  const check = (args: string[], wanted: string[]) => () => checkArgumentCount(args, wanted, "kill");
  check(["a"], ["id"])();
  check(["a"], ["id", "signal?"])();
  check(["a", "b", "c"], ["id", "command..."])();
  check(["a"], ["id", "command..."])();
  assert.throws(check([], ["id"]), /"kill" requires exactly 1 argument/);
  assert.throws(check(["a", "b"], ["id"]), /exactly 1/);
  assert.throws(check([], ["id", "signal?"]), /a minimum of 1/);
  assert.throws(check(["a", "b", "c"], ["id", "signal?"]), /a maximum of 2/);
});
