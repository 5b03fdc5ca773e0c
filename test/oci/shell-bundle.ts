/** A bundle whose command is a shell script, with the installed gantry-oci on it: what a container sees of its configuration. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { exampleSpec } from "../../src/oci/command/spec.ts";
import type { Mount, Spec } from "../../src/oci/runtime-spec.ts";
import { OciBundle, type Outcome } from "../harness/oci-bundle.ts";

const PROGRAM = join(import.meta.dirname, "../../bin/gantry-oci");
const COMMANDS =
  "false env pwd stat mount umount touch mkdir echo readlink test head tail od tr cut dd ln rm";

export class ShellBundle extends OciBundle {
  constructor() {
    super();
    for (const name of COMMANDS.split(" ")) symlinkSync("busybox", join(this.rootfs, "bin", name));
  }

  /** Writes config.json: the example's with this script, without a terminal, and changed. */
  script(script: string, change: (spec: Spec) => void = () => undefined): void {
    const spec = structuredClone(exampleSpec());
    const cgroupsPath = this.nextCgroup();
    this.configure([]);
    if (spec.process)
      Object.assign(spec.process, { terminal: false, args: ["sh", "-c", script], noNewPrivileges: false });
    if (spec.linux) spec.linux.cgroupsPath = cgroupsPath;
    change(spec);
    writeFileSync(join(this.bundle, "config.json"), JSON.stringify(spec));
  }

  /** Runs the script in a container with further mounts. */
  shell(script: string, mounts: Mount[] = [], change: (spec: Spec) => void = () => undefined): Outcome {
    this.script(script, (spec) => {
      spec.mounts?.push(...mounts);
      change(spec);
    });
    return this.run("shell");
  }

  override oci(args: string[], input = ""): Outcome {
    const { status, stdout, stderr } = spawnSync(PROGRAM, ["--root", join(this.base, "root"), ...args], {
      encoding: "utf8",
      input,
      cwd: this.base,
    });
    return { code: status, out: stdout, err: stderr };
  }

  /** `create`, with the output of the container in a file, as it keeps it open. */
  create(id: string): Outcome {
    const command = 'exec "$0" --root "$1" create -b "$2" "$3" > "$4" 2> "$5" < /dev/null';
    const files = [join(this.base, `${id}.out`), join(this.base, `${id}.err`)];
    const args = ["-c", command, PROGRAM, join(this.base, "root"), this.bundle, id, ...files];
    const { status } = spawnSync("sh", args, { cwd: this.base });
    return { code: status, out: this.output(id), err: this.output(id, "err") };
  }

  /** What the container of `create` has said. */
  output(id: string, stream: "out" | "err" = "out"): string {
    const path = join(this.base, `${id}.${stream}`);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  state(id: string): { status: string; pid: number } {
    return JSON.parse(this.oci(["state", id]).out) as { status: string; pid: number };
  }

  async becomes(id: string, status: string): Promise<void> {
    for (let turn = 0; turn < 500; turn++) {
      if (this.state(id).status === status) return;
      await sleep(20);
    }
    throw new Error(`${id} does not become ${status}`);
  }
}
