import assert from "node:assert/strict";
import { test } from "node:test";
import { suiteArguments, type SuiteOptions, type SuiteProgram } from "./suite.ts";

const PROGRAM: SuiteProgram = {
  path: "critest",
  version: "v1",
  flags: new Set(["runtime-endpoint", "image-endpoint", "parallel", "websocket-exec"]),
  ginkgo: "ginkgo",
};
const OPTIONS: SuiteOptions = {
  endpoint: "unix:///gantry.sock",
  parallel: 1,
  websocket: false,
  more: [],
  scratch: "/tmp",
};

test("the arguments of a plain run", () => {
  assert.deepEqual(suiteArguments(PROGRAM, OPTIONS), [
    "-runtime-endpoint=unix:///gantry.sock",
    "-image-endpoint=unix:///gantry.sock",
    "-ginkgo.json-report=report.json",
    "-ginkgo.junit-report=junit.xml",
    "-ginkgo.no-color",
  ]);
});

test("what was asked for and the program does not have is refused", () => {
  assert.throws(() => suiteArguments(PROGRAM, { ...OPTIONS, websocket: true }), {
    message: "critest v1 has no flag -websocket-attach",
  });
  const benchmark = { parametersFile: "/p", outputDirectory: "/o" };
  assert.throws(() => suiteArguments(PROGRAM, { ...OPTIONS, benchmark }), /no flag -benchmark/);
});

test("NRI's socket is for the versions that have specs of it", () => {
  const options = { ...OPTIONS, nriSocket: "/nri.sock", parallel: 4, more: ["-ginkgo.seed=7"] };
  const args = suiteArguments(PROGRAM, options);
  assert.deepEqual(args.slice(-2), ["-parallel=4", "-ginkgo.seed=7"]);
  const newer = { ...PROGRAM, flags: new Set([...PROGRAM.flags, "nri-socket"]) };
  assert.ok(suiteArguments(newer, options).includes("-nri-socket=/nri.sock"));
});
