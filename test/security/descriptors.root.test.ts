/**
 * Descriptors of the host's: none reaches a container, be it as one that its processes have (CVE-2024-21626), or as one
 * of a process that is on its way in (CVE-2016-9962).
 */
import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { compiled } from "../harness/debian-files.ts";
import { EXECUTOR_PROGRAM } from "../harness/executor-program.ts";
import { file } from "../harness/image-builder.ts";
import { GantryOci } from "./way-gantry-oci.ts";
import { bothWays, link } from "./way.ts";

/** Commands while the attacker looks: at least, and until it has seen one on its way in at the latest. */
const [FEW, ENOUGH] = [4, 400];
/** Of the first process, and of the one that lists, which has one for the directory that it reads. */
const LIST = "ls -1 /proc/1/fd; echo; ls -1 /proc/self/fd";
const ONLY_STREAMS = "0\n1\n2\n\n0\n1\n2\n3\n";

let peek: Buffer;
before(async () => {
  peek = await compiled(readFileSync(join(import.meta.dirname, "programs/peek.c"), "utf8"));
});

bothWays((way) => {
  test("a container has its standard streams and nothing else, and so has an exec and a terminal", async () => {
    assert.equal((await way().run({ command: LIST })).output, ONLY_STREAMS);
    const terminal = await way().run({ command: LIST, terminal: true });
    assert.equal(terminal.output.replaceAll("\r", ""), ONLY_STREAMS);
    const running = await way().start({ command: "while :; do sleep 1; done" });
    try {
      assert.equal((await running.exec(LIST)).output, ONLY_STREAMS);
    } finally {
      await running.end();
    }
  });

  test("a working directory below a descriptor is refused, also through a link of the image (CVE-2024-21626)", async () => {
    const inside = "readlink /proc/self/cwd; cat /etc/hostname /etc/shadow";
    for (const cwd of [
      "/proc/self/fd/3",
      "/proc/self/fd/7",
      "/proc/self/fd/9/../..",
      "/proc/1/cwd",
      "/away",
    ]) {
      const { refused, output } = await way().run({
        image: [link("away", "/proc/self/fd/8")],
        command: inside,
        cwd,
      });
      assert.ok(refused, `${cwd}: ${output}`);
    }
    /* What is nothing special for a process in the container is so for the runtime. */
    const { output } = await way().run({ command: "readlink /proc/self/cwd; pwd", cwd: "/proc/.." });
    assert.equal(output, "/\n/\n");
  });

  test("who may trace sees no descriptor of the runtime's while commands come in (CVE-2016-9962)", async () => {
    const running = await way().start({
      image: [file("bin/peek", peek, 0o755)],
      command: ["/bin/peek"],
      capabilities: ["SYS_PTRACE", "SYS_ADMIN", "DAC_READ_SEARCH"],
    });
    const seen = async (): Promise<boolean> => /^on its way N /m.test(await running.output());
    for (let round = 0; round < ENOUGH && !(round >= FEW && (await seen())); round++)
      await running.exec(["/bin/true"]);
    const lines = (await running.end()).trim().split("\n");
    assert.equal(lines[0], "ready");
    /* It has seen some of them, or this would show nothing. */
    assert.ok(
      lines.some((line) => line.startsWith("on its way N ")),
      lines.join("\n"),
    );
    for (const line of lines.slice(1)) {
      const [, fd, target = ""] = /^(?:on its way|own) (\S+) (.*)$/.exec(line) ?? [];
      const stream = fd !== "N" && /^(?:pipe:|socket:|\/dev\/null$)/.test(target);
      /* The one socket to who launches it, by which it says that it has failed. */
      assert.ok(stream || target === "socket:", line);
    }
  });
});

test("gantry-oci: preserved descriptors reach the container, and only they; an exec's directory is its own", async () => {
  const way = new GantryOci();
  const scratch = mkdtempSync(join(tmpdir(), "gs-fds-"));
  try {
    writeFileSync(join(scratch, "given"), "given\n");
    const { id, bundle } = way.bundle({ command: `cat <&3; ${LIST}` });
    const fds = ["given", "given"].map((name) => openSync(join(scratch, name), "r"));
    const program = EXECUTOR_PROGRAM;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [program, "--root", join(way.directory, "root"), "run", "--preserve-fds", "1", "-b", bundle, id],
      { stdio: ["ignore", "pipe", "pipe", ...fds], encoding: "utf8" },
    );
    for (const fd of fds) closeSync(fd);
    assert.equal(stdout, "given\n0\n1\n2\n3\n\n0\n1\n2\n3\n4\n", stderr);

    const running = await way.start({ command: "while :; do sleep 1; done" });
    for (const cwd of ["/proc/self/fd/3", "/proc/self/fd/6", "/proc/1/cwd", "/proc/1/root/proc"]) {
      const { refused } = await running.exec("pwd", { cwd });
      assert.match(refused ?? "", /working directory|chdir/, cwd);
    }
    await running.end();
  } finally {
    await way.close();
    rmSync(scratch, { recursive: true });
  }
});
