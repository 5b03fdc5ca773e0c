/** OOM scores of real processes: who is changed, who is not. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { changeOomScore, permittedOomScore } from "./oom-score.ts";

const ends: (() => void)[] = [];
after(() => ends.forEach((end) => end()));

async function sleeper(score: number): Promise<number> {
  const child = spawn("sleep", ["300"], { stdio: "ignore" });
  await once(child, "spawn");
  ends.push(() => child.kill("SIGKILL"));
  const pid = child.pid as number;
  writeFileSync(`/proc/${pid}/oom_score_adj`, String(score));
  return pid;
}
const scoreOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"));

test("those with the old score get the new one, in groups of any size; others and strangers keep theirs", async () => {
  const same = await Promise.all(Array.from({ length: 150 }, () => sleeper(100)));
  const [other, stranger] = [await sleeper(300), await sleeper(100)];
  let listings = 0;
  const gone = 2 ** 22 - 1;
  const group = {
    // The stranger has the pid of a process that was in the group, and is not any more.
    processes: async () => (listings++ === 0 ? [...same, other, stranger, gone] : [...same, other]),
  };
  assert.deepEqual(await changeOomScore(group, 100, 250), { changed: 150, refused: 0 });
  assert.deepEqual(new Set(same.map(scoreOf)), new Set([250]));
  assert.deepEqual([scoreOf(other), scoreOf(stranger)], [300, 100]);
  assert.deepEqual(await changeOomScore({ processes: async () => same }, 250, 100), {
    changed: 150,
    refused: 0,
  });
});

test("a score below what this process may give", () => {
  const limits = { capabilities: 0n, oomScoreAdjMin: -5 };
  assert.deepEqual(
    [-1000, -5, 0, 1000].map((wanted) => permittedOomScore(wanted, limits)),
    [-5, -5, 0, 1000],
  );
});
