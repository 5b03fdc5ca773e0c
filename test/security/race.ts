/**
 * A race: a plan that is launched many times while another process exchanges two names on a volume that the container has,
 * one an honest file or directory, the other a link to a directory of the host's. See programs/race.c.
 *
 *   base/host/          nothing may happen here: b/ with a file "secret", and a file "file"
 *   base/rootfs/        the container's root, with directories of the same names as base/host, where a link may lead to
 *   base/volume/        the shared volume, at /v: a/ and "link", which are exchanged
 *   base/source, base/single    what is mounted: a directory with a file "marker", and a file
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  globSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compilePlan, type PlanOptions } from "../../src/oci/plan-compile.ts";
import type { Spec } from "../../src/oci/runtime-spec.ts";
import { runCommand } from "../harness/command.ts";
import { patient } from "../harness/patience.ts";

/** Of ten thousand rounds on a busy machine. */
export const LONGEST_MS = patient(1_800_000);

const project = join(import.meta.dirname, "../..");

/** With programs/weak.c. */
export const WEAK_LINKING = "-Wl,--wrap=syscall,--wrap=mkdirat,--wrap=mknodat,--wrap=ioctl";

/** What came of the rounds. */
export interface RaceResult {
  /** "exit 0", "openat2 ELOOP" … and how often. */
  outcomes: ReadonlyMap<string, number>;
  /** Rounds in which a container got hold of the host's. */
  escapes: number;
  /** Times that something happened to a file of the host's directory. */
  touched: number;
  /** Exchanges of the two names. */
  swaps: number;
}

function exchange(left: string, right: string): void {
  renameSync(left, `${left}.away`);
  renameSync(right, left);
  renameSync(`${left}.away`, right);
}

export class RaceTrack {
  readonly directory = mkdtempSync(join(tmpdir(), "gantry-race-"));
  readonly host = join(this.directory, "host");
  readonly volume = join(this.directory, "volume");
  readonly rootfs = join(this.directory, "rootfs");
  readonly target = join(this.directory, "target");
  readonly #programs: Record<"strong" | "weak", string>;

  constructor() {
    const path = (name: string): string => join(this.directory, name);
    const sources = [
      join(import.meta.dirname, "programs/race.c"),
      ...globSync(join(project, "native/executor/*.c")),
    ];
    const include = `-I${join(project, "native/include")}`;
    const compile = (output: string, ...args: string[]): string => {
      execFileSync("cc", ["-std=gnu17", "-O1", include, "-o", path(output), ...args]);
      return path(output);
    };
    this.#programs = {
      strong: compile("race", ...sources),
      weak: compile(
        "race-weak",
        "-O0",
        WEAK_LINKING,
        join(import.meta.dirname, "programs/weak.c"),
        ...sources,
      ),
    };
    const probe = compile("probe", "-static", join(import.meta.dirname, "programs/probe.c"));
    /* A link of the volume, followed by the container, leads to a place like the host's in its own root. */
    for (const place of [this.host, join(this.rootfs, this.host), join(this.volume, "a"), path("source")])
      mkdirSync(join(place, "b"), { recursive: true });
    for (const name of ["bin", "dev", "proc", "sys", "v", "check", "src", "img", "tmp"])
      mkdirSync(join(this.rootfs, name), { recursive: true });
    for (const place of [this.host, join(this.rootfs, this.host), join(this.volume, "a")])
      writeFileSync(join(place, "file"), "");
    mkdirSync(this.target);
    writeFileSync(join(this.host, "b/secret"), "of the host\n");
    writeFileSync(path("single"), "");
    copyFileSync(probe, join(this.rootfs, "bin/probe"));
    symlinkSync(this.host, join(this.volume, "link"));
  }

  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  /** A configuration with nothing that costs time: of namespaces only that of mounts. */
  spec(probe: readonly string[], mounts: Spec["mounts"] = [], more: Partial<Spec> = {}): Spec {
    return {
      ociVersion: "1.3.0",
      process: { user: { uid: 0, gid: 0 }, cwd: "/", args: ["/bin/probe", ...probe], env: [] },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/v", type: "bind", source: this.volume, options: ["bind"] },
        ...mounts,
      ],
      linux: { namespaces: [{ type: "mount" }] },
      ...more,
    };
  }

  plan(spec: Spec, more: Partial<PlanOptions> = {}): Uint8Array {
    return compilePlan(spec, {
      rootfs: { type: "bind", source: this.rootfs, readonly: false },
      rootfsTarget: this.target,
      cgroup: { tasksFiles: [] },
      gate: "none",
      command: "exec",
      ...more,
    });
  }

  async run(
    plan: Uint8Array,
    rounds: number,
    options: {
      /** "none": others exchange something. */
      swapped?: readonly [string, string] | "none";
      clean?: readonly string[];
      joinPid?: number;
      weak?: boolean;
    } = {},
  ): Promise<RaceResult> {
    const file = this.path("plan");
    writeFileSync(file, plan);
    const { swapped = [join(this.volume, "a"), join(this.volume, "link")], clean = [], joinPid } = options;
    const names = swapped === "none" ? ["-", "-"] : swapped;
    const args = [file, String(rounds), this.host, ...names, ...clean.flatMap((path) => ["--clean", path])];
    if (joinPid !== undefined) args.push("--join", String(joinPid));
    const program = this.#programs[options.weak ? "weak" : "strong"];
    const isLink = (): boolean => swapped !== "none" && lstatSync(swapped[0]).isSymbolicLink();
    const wasLink = isLink();
    const { code, stdout, stderr } = await runCommand(program, args, { timeoutMs: LONGEST_MS });
    if (swapped !== "none" && isLink() !== wasLink) exchange(...swapped);
    assert.equal(code, 0, stderr);
    const counts = new Map<string, number>();
    for (const line of stdout.trim().split("\n")) {
      const name = line.slice(0, line.lastIndexOf(" "));
      counts.set(name, (counts.get(name) ?? 0) + Number(line.slice(name.length)));
    }
    const take = (name: string): number => {
      const count = counts.get(name) ?? 0;
      counts.delete(name);
      return count;
    };
    const [touched, swaps] = [take("touched"), take("swaps")];
    return { outcomes: counts, escapes: counts.get("exit 42") ?? 0, touched, swaps };
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
