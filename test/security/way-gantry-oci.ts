/** Attacks on bundles, through the gantry-oci command. Each has a root filesystem of its own. See way.ts. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { chmodSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createCgroupManager } from "../../src/oci/cgroup-manager.ts";
import { capabilityName } from "../../src/oci/capabilities.ts";
import { exampleSpec } from "../../src/oci/command/spec.ts";
import type { Spec } from "../../src/oci/runtime-spec.ts";
import { defaultSeccomp } from "../../src/oci/seccomp-default-profile.ts";
import { type CommandResult, runCommand } from "../harness/command.ts";
import { EXECUTOR_PROGRAM } from "../harness/executor-program.ts";
import type { LayerEntry } from "../harness/image-builder.ts";
import { patient } from "../harness/patience.ts";
import { type Attack, baseEntries, type Outcome, type RunningAttack, type Way } from "./way.ts";

/** A container's name. */
export function writeTree(root: string, entries: readonly LayerEntry[]): void {
  for (const entry of entries) {
    const path = join(root, entry.path);
    mkdirSync(dirname(path), { recursive: true });
    if (entry.type !== "Directory") rmSync(path, { recursive: true, force: true });
    if (entry.type === "Directory") mkdirSync(path, { recursive: true });
    else if (entry.type === "SymbolicLink") symlinkSync(entry.linkpath ?? "", path);
    else writeFileSync(path, entry.data ?? "");
    if (entry.type !== "SymbolicLink") chmodSync(path, entry.mode ?? 0o755);
  }
}

export const shellCommand = (command: string | readonly string[]): string[] =>
  typeof command === "string" ? ["/bin/sh", "-c", command] : [...command];

export class GantryOci implements Way {
  readonly name = "gantry-oci";
  /** Not below a long path: that of a console socket is short. */
  readonly directory = mkdtempSync(join(tmpdir(), "gs-"));
  readonly cgroup = `/gantry-security-${process.pid}`;
  #count = 0;

  /** A bundle of its own; `change` may ask for what an attack of both ways cannot. */
  bundle(attack: Attack, change: (spec: Spec) => void = () => undefined): { id: string; bundle: string } {
    const id = `a${++this.#count}`;
    const bundle = join(this.directory, id);
    writeTree(join(bundle, "rootfs"), [...baseEntries(), ...(attack.image ?? [])]);
    const spec = structuredClone(exampleSpec());
    const { process: own, linux } = spec;
    assert.ok(own && linux);
    const { capabilities = {} } = own;
    const more = (attack.capabilities ?? []).map((name) => capabilityName(name));
    for (const set of ["bounding", "effective", "permitted"] as const)
      capabilities[set] = [...(capabilities[set] ?? []), "CAP_DAC_OVERRIDE", ...more];
    Object.assign(own, {
      terminal: attack.terminal ?? false,
      args: shellCommand(attack.command),
      cwd: attack.cwd ?? "/",
      noNewPrivileges: false,
      env: ["PATH=/bin"],
      ...(attack.user && { user: attack.user }),
    });
    Object.assign(spec.root ?? {}, { readonly: false });
    spec.mounts?.push(
      ...(attack.mounts ?? []).map(({ hostPath, containerPath, readonly }) => ({
        destination: containerPath,
        type: "bind",
        source: hostPath,
        options: ["rbind", readonly ? "ro" : "rw"],
      })),
    );
    linux.cgroupsPath = `${this.cgroup}/${id}`;
    if (attack.seccomp) linux.seccomp = defaultSeccomp(capabilities.bounding ?? []);
    change(spec);
    writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
    return { id, bundle };
  }

  oci(args: string[], input = ""): Promise<CommandResult> {
    const all = [EXECUTOR_PROGRAM, "--root", join(this.directory, "root"), ...args];
    return runCommand(process.execPath, all, { input, cwd: this.directory });
  }

  async run(attack: Attack, change?: (spec: Spec) => void): Promise<Outcome> {
    const { id, bundle } = this.bundle(attack, change);
    return outcome(await this.oci(["run", "-b", bundle, id]));
  }

  async start(attack: Attack, change?: (spec: Spec) => void): Promise<RunningAttack> {
    const { id, bundle } = this.bundle(attack, change);
    const output = join(bundle, "output");
    /* The container keeps its streams, which therefore are no pipes of ours. */
    const script = 'exec "$@" >"$OUTPUT" 2>&1 </dev/null';
    const words = [process.execPath, EXECUTOR_PROGRAM, "--root", join(this.directory, "root")];
    const { code } = await runCommand("sh", ["-c", script, "sh", ...words, "run", "-d", "-b", bundle, id], {
      env: { ...process.env, OUTPUT: output },
    });
    assert.equal(code, 0, readFileSync(output, "utf8"));
    const { stdout } = await this.oci(["state", id]);
    const { pid } = JSON.parse(stdout) as { pid: number };
    return {
      pid,
      exec: async (command, { cwd } = {}) =>
        outcome(
          await this.oci([
            "exec",
            ...(cwd === undefined ? [] : ["--cwd", cwd]),
            id,
            ...shellCommand(command),
          ]),
        ),
      output: () => readFile(output, "utf8"),
      end: async () => {
        assert.equal((await this.oci(["delete", "--force", id])).code, 0);
        return readFileSync(output, "utf8");
      },
    };
  }

  async close(): Promise<void> {
    const root = join(this.directory, "root");
    let ids: string[] = [];
    try {
      ids = readdirSync(root);
    } catch {
      // Nothing was run.
    }
    for (const id of ids) await this.oci(["delete", "--force", id]);
    await createCgroupManager()
      .load(this.cgroup)
      .remove(AbortSignal.timeout(patient(10_000)));
    const mounts = readFileSync("/proc/self/mountinfo", "utf8");
    if (mounts.includes(`${this.directory}/`))
      execFileSync("cat", ["/proc/self/mountinfo"], { stdio: "inherit" });
    assert.ok(!mounts.includes(`${this.directory}/`), "a mount was left on the host");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** An error of the command's own is a line on standard error that says so. */
function outcome({ code, stdout, stderr }: CommandResult): Outcome {
  const refused = code !== 0 && /level=error/.test(stderr) ? stderr : undefined;
  return { refused, output: stdout + stderr, exitCode: code };
}

export const openGantryOci = async (): Promise<Way> => Promise.resolve(new GantryOci());
