/**
 * A container in which further processes get terminals while what is in its /dev changes: by itself, which mounts other
 * things there and takes them off again, or by a second one that has the directory as a volume.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { planForExec } from "../../src/oci/container-plan.ts";
import { loadContainer } from "../../src/oci/command/container-state.ts";
import { execCgroupEntries } from "../../src/oci/command/exec-cgroup.ts";
import { DEVPTS_MOUNT } from "../../src/oci/spec-defaults.ts";
import { compiled } from "../harness/debian-files.ts";
import { type LayerEntry, file } from "../harness/image-builder.ts";
import type { RaceTrack } from "./race.ts";
import { GantryOci } from "./way-gantry-oci.ts";
import type { Attack, RunningAttack } from "./way.ts";

/** More than there are terminals at a time. */
const TERMINALS = 64;

export class ExecTerminal {
  readonly way = new GantryOci();
  readonly #track: RaceTrack;
  #programs: LayerEntry[] = [];

  constructor(track: RaceTrack) {
    this.#track = track;
  }

  async open(): Promise<void> {
    const probe = readFileSync(join(this.#track.rootfs, "bin/probe"));
    const swap = await compiled(readFileSync(join(import.meta.dirname, "programs/swap.c"), "utf8"));
    this.#programs = [file("bin/probe", probe, 0o755), file("bin/swap", swap, 0o755)];
  }

  /**
   * A /dev with names to exchange: pts with directories whose files are none of a devpts or is a fifo, and with a link to the
   * host's directory, tty and console with links to its file.
   */
  makeDev(): string {
    const dev = mkdtempSync(this.#track.path("dev-"));
    execFileSync("mknod", [join(dev, "null"), "c", "1", "3"]);
    for (const name of ["pts", "other", "fifo"]) mkdirSync(join(dev, name));
    for (const name of ["ptmx", ...Array.from({ length: TERMINALS }, (_, number) => String(number))])
      writeFileSync(join(dev, "other", name), "");
    execFileSync("mkfifo", [join(dev, "fifo/ptmx")]);
    symlinkSync(join(this.#track.host, "b"), join(dev, "ptslink"));
    for (const name of ["tty", "console"]) {
      writeFileSync(join(dev, name), "");
      symlinkSync(join(this.#track.host, "file"), join(dev, `${name}link`));
    }
    return dev;
  }

  /** A container that runs, and the plan of a process in it that looks at its terminal. */
  async start(
    attack: Attack,
    dev?: string,
  ): Promise<{ id: string; running: RunningAttack; plan: Uint8Array }> {
    const { way } = this;
    let id = "";
    const running = await way.start({ ...attack, image: this.#programs }, (spec) => {
      id = spec.linux?.cgroupsPath?.split("/").at(-1) ?? "";
      if (dev !== undefined)
        spec.mounts = [
          ...(spec.mounts ?? []).filter(({ destination }) => !/^\/dev(?:$|\/)/.test(destination)),
          { destination: "/dev", type: "bind", source: dev, options: ["bind"] },
          DEVPTS_MOUNT,
        ];
    });
    const { spec, cgroupPath, pid } = loadContainer(join(way.directory, "root"), id);
    const plan = planForExec(
      spec,
      { user: { uid: 0, gid: 0 }, cwd: "/", env: [], terminal: true, args: ["/bin/probe", "terminal"] },
      { cgroup: execCgroupEntries(cgroupPath, pid, []) },
    );
    return { id, running, plan };
  }

  close(): Promise<void> {
    return this.way.close();
  }
}
