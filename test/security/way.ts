/**
 * The two ways into the executor, for attacks that are tried on both: a bundle through gantry-oci, and an image through
 * the CRI. An attack is what its author has in hand: files of the root filesystem, a command, and what a client may ask
 * for. Every image has busybox in /bin, and the attack's own files over it.
 */
import { readFileSync } from "node:fs";
import { after, before, describe } from "node:test";
import { APPLETS } from "../../src/oci/plan-test-container.ts";
import { directory, file, type ImageSettings, type LayerEntry } from "../harness/image-builder.ts";
import { openGantryd } from "./way-gantryd.ts";
import { openGantryOci } from "./way-gantry-oci.ts";

export interface Attack {
  /** Over the files of the base; an entry replaces what is there. */
  image?: readonly LayerEntry[];
  /** A string is a shell script. */
  command: string | readonly string[];
  cwd?: string;
  user?: { uid: number; gid: number };
  /** Beside the default ones, without prefix. */
  capabilities?: readonly string[];
  mounts?: readonly { hostPath: string; containerPath: string; readonly?: boolean }[];
  terminal?: boolean;
  /** The built-in seccomp profile; otherwise none. */
  seccomp?: boolean;
}

export interface Outcome {
  /** Why it was not started; then the rest means nothing. */
  refused: string | undefined;
  /** Both streams. */
  output: string;
  exitCode: number;
}

export interface RunningAttack {
  /** Of its first process, on the host. */
  pid: number;
  exec(command: string | readonly string[], options?: { cwd?: string }): Promise<Outcome>;
  /** What it has written so far. */
  output(): Promise<string>;
  /** Ends it; what it has written. */
  end(): Promise<string>;
}

export interface Way {
  readonly name: "gantry-oci" | "gantryd";
  /** To its end. */
  run(attack: Attack): Promise<Outcome>;
  start(attack: Attack): Promise<RunningAttack>;
  /** CRI only: an image with these settings, run by its own command. */
  runImage?(image: readonly LayerEntry[], settings: ImageSettings, container?: object): Promise<Outcome>;
  close(): Promise<void>;
}

/** Files of every image. */
export function baseEntries(): LayerEntry[] {
  return [
    ...["bin", "dev", "etc", "proc", "sys", "tmp", "root"].map((path) => directory(path)),
    file("bin/busybox", readFileSync("/bin/busybox"), 0o755),
    ...`${APPLETS} seq setsid mv rm ln tr sort find unshare mknod`
      .split(" ")
      .filter((name, index, all) => all.indexOf(name) === index)
      .map((name): LayerEntry => ({ path: `bin/${name}`, type: "SymbolicLink", linkpath: "busybox" })),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    file("etc/group", "root:x:0:\n"),
  ];
}

export const link = (path: string, linkpath: string): LayerEntry => ({
  path,
  type: "SymbolicLink",
  linkpath,
});

/** The same tests for each way; `way` may be called within a test. */
export function bothWays(tests: (way: () => Way) => void): void {
  const ways = { "gantry-oci": openGantryOci, gantryd: openGantryd };
  for (const [name, open] of Object.entries(ways)) {
    describe(name, () => {
      let way: Way | undefined;
      before(async () => {
        way = await open();
      });
      after(() => way?.close());
      tests(() => {
        if (!way) throw new Error(`${name} was not opened`);
        return way;
      });
    });
  }
}
