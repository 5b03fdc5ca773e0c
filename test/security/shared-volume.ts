/**
 * A race between two containers of gantry-oci's that share a volume: one exchanges names in it as fast as it can, and the
 * other is made again and again (shared-volume-driver.ts) with paths that lead through it (shared-volume-kinds.ts).
 *
 *   host/            nothing may happen here: b/ with a file "secret", and a file "file"
 *   rootfs/          of what is made, with directories as host/ where a link leads to that is followed in it
 *   volume/          of both, at /v
 *     a ⇄ link       a directory with b/ and "file", and a link to host/
 *     u ⇄ uplink     the same, the link a relative one, upwards
 *     part/m ⇄ away  directories with "up", a link upwards to host/; part/ is a volume, too, at /part
 *     dev/           a /dev: pts ⇄ ptslink, console ⇄ consolelink
 *   source/, single  what is mounted
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nativeDirectory } from "../../src/native/addon.ts";
import { compiled } from "../harness/debian-files.ts";
import { runCommand } from "../harness/command.ts";
import { file } from "../harness/image-builder.ts";
import { LONGEST_MS, WEAK_LINKING } from "./race.ts";
import type { DriverOrder, DriverReport } from "./shared-volume-driver.ts";
import type { Kind } from "./shared-volume-kinds.ts";
import { GantryOci } from "./way-gantry-oci.ts";
import type { RunningAttack } from "./way.ts";

const PROGRAMS = join(import.meta.dirname, "programs");
const NATIVE = join(import.meta.dirname, "../../native");
const UP = "../../../../../../../../../../../..";

export interface RoundsAsked {
  rounds: number;
  width?: number;
  /** By an executor that uses names, until that is lost. */
  weak?: boolean;
}

export class SharedVolume {
  readonly way = new GantryOci();
  #drivers = 0;
  #swap: Buffer | undefined;

  path(...parts: string[]): string {
    return join(this.way.directory, ...parts);
  }

  async open(): Promise<void> {
    this.#swap = await compiled(readFileSync(join(PROGRAMS, "swap.c"), "utf8"));
    const host = this.path("host");
    for (const name of ["bin", "dev", "proc", "v", "part"])
      mkdirSync(this.path("rootfs", name), { recursive: true });
    for (const place of [host, this.path("rootfs", host), this.path("volume/a"), this.path("volume/u")]) {
      mkdirSync(join(place, "b"), { recursive: true });
      writeFileSync(join(place, "file"), "");
    }
    writeFileSync(join(host, "b/secret"), "of the host\n");
    symlinkSync(host, this.path("volume/link"));
    symlinkSync(UP + host, this.path("volume/uplink"));
    for (const name of ["part/m", "away"]) {
      mkdirSync(this.path("volume", name), { recursive: true });
      symlinkSync(UP + host, this.path("volume", name, "up"));
    }
    mkdirSync(this.path("volume/dev/pts"), { recursive: true });
    writeFileSync(this.path("volume/dev/console"), "");
    symlinkSync(join(host, "b"), this.path("volume/dev/ptslink"));
    symlinkSync(join(host, "file"), this.path("volume/dev/consolelink"));
    mkdirSync(this.path("source"));
    writeFileSync(this.path("single"), "");
    writeFileSync(
      this.path("rootfs/bin/probe"),
      await compiled(readFileSync(join(PROGRAMS, "probe.c"), "utf8")),
      { mode: 0o755 },
    );
  }

  /** The other container: `words` are those of programs/swap.c. Resolves when it has begun. */
  async attacker(words: readonly string[]): Promise<RunningAttack> {
    const running = await this.way.start({
      image: [file("bin/swap", this.#swap ?? Buffer.alloc(0), 0o755)],
      command: ["/bin/swap", ...words],
      mounts: [{ hostPath: this.path("volume"), containerPath: "/v" }],
    });
    while (!(await running.output()).includes("ready\n")) {
      assert.equal(await running.output(), "");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return running;
  }

  /** Containers of these kinds, in turn. */
  async rounds(kinds: Kind[], { rounds, width = 3, weak = false }: RoundsAsked): Promise<DriverReport> {
    const order: DriverOrder = {
      directory: this.way.directory,
      report: this.path("report"),
      cgroup: this.way.cgroup,
      prefix: `d${++this.#drivers}-`,
      kinds,
      rounds,
      width,
      untilLost: weak,
    };
    const { code, stderr } = await runCommand(
      process.execPath,
      [join(import.meta.dirname, "shared-volume-driver.ts"), JSON.stringify(order)],
      {
        env: { ...process.env, ...(weak && { GANTRY_NATIVE_DIR: this.#weakDirectory() }) },
        timeoutMs: LONGEST_MS,
      },
    );
    assert.equal(code, 0, stderr);
    return JSON.parse(readFileSync(order.report, "utf8")) as DriverReport;
  }

  /** The native half with a weak launcher. */
  #weakDirectory(): string {
    const directory = this.path("weak");
    mkdirSync(directory);
    copyFileSync(join(nativeDirectory, "gantry.node"), join(directory, "gantry.node"));
    const sources = [join(PROGRAMS, "weak.c"), ...globSync(join(NATIVE, "{executor,shim}/*.c"))];
    const include = `-I${join(NATIVE, "include")}`;
    const output = join(directory, "gantry-shim");
    execFileSync("cc", ["-std=gnu17", "-O0", include, WEAK_LINKING, "-o", output, ...sources]);
    return directory;
  }

  close(): Promise<void> {
    return this.way.close();
  }
}
