/**
 * The runtimes that the suite is run with, each behind a small script: the suite calls a program by name and gives it
 * no options, and what it makes is to be known even when it does not clean up.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const GANTRY = join(import.meta.dirname, "../../bin/gantry-oci");

export const RUNTIME_NAMES = ["gantry-oci", "runc", "crun"] as const;
export type RuntimeName = (typeof RUNTIME_NAMES)[number];

export interface RuntimeSubject {
  name: RuntimeName;
  version: string;
  program: string;
  /** Shell commands to run before a program of the suite, in its own mount namespace. */
  prepare: string;
  /** Whether a configuration of version 1.3 must be given to it as one of version 1.0. */
  oldVersion: boolean;
  /** What had to be done for it to run at all. */
  notes: string[];
}

/**
 * @param gantry the program that gantry-oci is; that of the checkout unless given.
 * @throws Error when it is not installed.
 */
export function runtimeSubject(name: RuntimeName, gantry = GANTRY): RuntimeSubject {
  const program = name === "gantry-oci" ? gantry : name;
  const { stdout, error } = spawnSync(program, ["--version"], { encoding: "utf8" });
  if (error) throw error;
  const version = /\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? "unknown";
  const subject: RuntimeSubject = { name, version, program, prepare: "", oldVersion: false, notes: [] };
  if (name !== "crun") return subject;
  if (existsSync("/sys/fs/cgroup/unified/cgroup.controllers")) {
    subject.prepare = "umount /sys/fs/cgroup/unified";
    subject.notes.push("crun refuses the hybrid layout with controllers in v2: that hierarchy is hidden");
  }
  if (refusal(subject).includes("unknown version")) {
    subject.oldVersion = true;
    subject.notes.push(`crun ${version} refuses version 1.3 of the specification: it gets 1.0.2`);
  }
  return subject;
}

/** What the runtime says to a bundle of the suite's version. There is no root filesystem: it never runs. */
function refusal({ program, prepare }: RuntimeSubject): string {
  const bundle = mkdtempSync(join(tmpdir(), "gantry-oci-version-"));
  try {
    spawnSync(program, ["spec"], { cwd: bundle });
    const config = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as object;
    writeFileSync(join(bundle, "config.json"), JSON.stringify({ ...config, ociVersion: "1.3.0" }));
    const script = `${prepare}\nexec "$1" --root "$PWD/root" run version-probe`;
    return spawnSync("unshare", ["--mount", "sh", "-c", script, "sh", program], {
      cwd: bundle,
      encoding: "utf8",
    }).stderr;
  } finally {
    rmSync(bundle, { recursive: true, force: true });
  }
}

/** Writes the script that stands for the runtime; it keeps ids and configurations of what it creates in `directory`. */
export function writeRuntimeScript(subject: RuntimeSubject, directory: string): string {
  const path = join(directory, "runtime");
  const version = 's/"ociVersion": *"1.3.0"/"ociVersion":"1.0.2"/';
  mkdirSync(join(directory, "configs"), { recursive: true });
  const lines = [
    "#!/bin/sh",
    'for argument; do [ "$last" = --bundle ] && bundle=$argument; last=$argument; done',
    'if [ "$1" = create ] && [ -e "$bundle/config.json" ]; then',
    ...(subject.oldVersion ? [`  sed -i '${version}' "$bundle/config.json"`] : []),
    `  echo "$last" >> '${directory}/ids'`,
    `  cp "$bundle/config.json" '${directory}/configs'/$$`,
    "fi",
    `exec '${subject.program}' --root '${directory}/state' "$@"`,
  ];
  writeFileSync(path, `${lines.join("\n")}\n`, { mode: 0o755 });
  return path;
}
