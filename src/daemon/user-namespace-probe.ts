/**
 * Whether pods can have user namespaces here: found out by making one, with a root filesystem on the filesystem of the
 * snapshots that is id-mapped for it. The plan is that of a container whose command does not exist; when that is all
 * that fails, everything before it works.
 */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { errorMessage, GantryError } from "../base/errors.ts";
import { shimProgram } from "../native/addon.ts";
import { compilePlan, type PlanRootfs } from "../oci/plan-compile.ts";
import { decodePlan } from "../oci/plan-decode.ts";
import { decodeLaunchResult, explainPlanError } from "../oci/plan-explain.ts";

/** Ids that are hardly anyone's. */
const MAPPING = [{ containerID: 0, hostID: 2_000_000_000, size: 65_536 }];
/** Of a probe that hangs. One that a busy host only delays must not cost its pods their user namespaces. */
const TIMEOUT_MS = 60_000;

/**
 * @param directory of the snapshots; a directory in it is used and deleted.
 * @param snapshotter its name: "overlayfs", or one whose snapshots are bind mounts.
 * @returns why not, for the log; undefined when it works.
 */
export async function probeUserNamespaces(
  directory: string,
  snapshotter: string,
): Promise<string | undefined> {
  const probe = join(directory, "probe-user-namespace");
  rmSync(probe, { recursive: true, force: true });
  try {
    const plan = compilePlan(
      {
        ociVersion: "1.3.0",
        root: { path: "rootfs" },
        process: { user: { uid: 0, gid: 0 }, cwd: "/", args: ["/none"], capabilities: {} },
        linux: {
          namespaces: [{ type: "mount" }, { type: "user" }],
          uidMappings: MAPPING,
          gidMappings: MAPPING,
        },
      },
      {
        rootfs: probeRootfs(probe, snapshotter),
        idMapRootfs: true,
        cgroup: { tasksFiles: [] },
        gate: "none",
        command: "exec",
      },
    );
    const result = decodeLaunchResult(await launch(plan));
    if ("pid" in result) throw new GantryError("internal", "a command that does not exist was executed");
    if (decodePlan(plan)[result.error.operation]?.name === "exec") return undefined;
    throw explainPlanError(plan, result.error);
  } catch (error) {
    return errorMessage(error);
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

function probeRootfs(probe: string, snapshotter: string): PlanRootfs {
  const make = (name: string): string => {
    const path = join(probe, name);
    mkdirSync(path, { recursive: true, mode: 0o755 });
    mkdirSync(join(path, "dev"), { recursive: true });
    return path;
  };
  if (snapshotter !== "overlayfs") return { type: "bind", source: make("fs"), readonly: false };
  const [lower, upper, work] = [make("lower"), make("active/fs"), join(probe, "active/work")];
  mkdirSync(work);
  return { type: "overlay", lower: [lower], upper, work, options: ["index=off"] };
}

async function launch(plan: Uint8Array): Promise<Buffer> {
  const child = spawn(shimProgram, ["launch", "--plan-fd", "3", "--result-fd", "4", "--wait"], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    env: {},
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.on("error", reject).on("exit", () => resolve());
  });
  const [planPipe, resultPipe] = [child.stdio[3] as Writable, child.stdio[4] as Readable];
  planPipe.on("error", () => undefined).end(plan);
  const [result] = await Promise.all([buffer(resultPipe), ended]);
  return result;
}
