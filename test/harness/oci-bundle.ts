/**
 * A bundle with busybox and programs of the test's own, and gantry-oci on it. Everything is below one directory with a
 * short path, as sockets are in it, and goes with `end`.
 */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { exampleSpec } from "../../src/oci/command/spec.ts";
import { createCgroupManager } from "../../src/oci/cgroup-manager.ts";
import { stringifyExactJson } from "../../src/oci/exact-json.ts";
import type { Linux, Process, Spec } from "../../src/oci/runtime-spec.ts";
import { EXECUTOR_PROGRAM } from "./executor-program.ts";
import { patient } from "./patience.ts";
import { shortDirectory } from "./short-directory.ts";

export interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

export class OciBundle {
  readonly base = shortDirectory("gantry-oci-test");
  readonly bundle = join(this.base, "bundle");
  readonly rootfs = join(this.bundle, "rootfs");
  /** What gantry-oci is started by: a program and its first arguments, or nothing. */
  starter: readonly string[] = [];
  readonly #cgroupParent = `/gantry-oci-bundle-${process.pid}`;
  #count = 0;

  constructor() {
    mkdirSync(join(this.rootfs, "bin"), { recursive: true });
    copyFileSync("/usr/bin/busybox", join(this.rootfs, "bin/busybox"));
    for (const name of "sh sleep id cat grep true ls ip".split(" "))
      symlinkSync("busybox", join(this.rootfs, "bin", name));
  }

  /** Of the container that is configured next. */
  nextCgroup(): string {
    return `${this.#cgroupParent}/c${this.#count}`;
  }

  /** What detached commands said. */
  log(): string {
    const path = join(this.base, "log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** A static program of one C file, in /bin of the root filesystem. */
  compile(name: string, source: string, flags: string[] = []): void {
    const file = join(this.base, `${name}.c`);
    writeFileSync(file, source);
    const args = ["-O1", "-static", ...flags, "-o", join(this.rootfs, "bin", name), file];
    const { status, stderr } = spawnSync("cc", args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`cc ${name}: ${stderr}`);
  }

  /** Writes config.json: the example's, with these members of its process and of its Linux part. */
  configure(
    args: string[],
    own: Partial<Process> = {},
    linux: Partial<Linux> = {},
    whole: Partial<Spec> = {},
  ): void {
    const spec = structuredClone(exampleSpec());
    const cgroupsPath = this.nextCgroup();
    this.#count++;
    const config = {
      ...spec,
      process: { ...spec.process, terminal: false, args, ...own },
      linux: { ...spec.linux, cgroupsPath, ...linux },
      ...whole,
    };
    writeFileSync(join(this.bundle, "config.json"), stringifyExactJson(config));
  }

  oci(args: string[], input = ""): Outcome {
    const { file, first } = this.#program();
    const { status, stdout, stderr } = spawnSync(file, [...first, ...args], {
      encoding: "utf8",
      input,
      cwd: this.base,
    });
    return { code: status, out: stdout, err: stderr };
  }

  /** For commands whose container keeps the descriptors open. Errors are in the log file. */
  detached(args: string[]): number | null {
    const { file, first } = this.#program();
    const log = ["--log", join(this.base, "log")];
    return spawnSync(file, [...first, ...log, ...args], { stdio: "ignore" }).status;
  }

  #program(): { file: string; first: string[] } {
    const [file, ...first] = [
      ...this.starter,
      process.execPath,
      EXECUTOR_PROGRAM,
      "--root",
      join(this.base, "root"),
    ];
    return { file, first };
  }

  run(id: string): Outcome {
    return this.oci(["run", "-b", this.bundle, id]);
  }

  /** Ids of the containers that there are. */
  containers(): string[] {
    const root = join(this.base, "root");
    return existsSync(root) ? readdirSync(root) : [];
  }

  async end(): Promise<void> {
    for (const id of this.containers()) this.oci(["delete", "--force", id]);
    await createCgroupManager()
      .load(this.#cgroupParent)
      .remove(AbortSignal.timeout(patient(30_000)));
    rmSync(this.base, { recursive: true });
  }
}
