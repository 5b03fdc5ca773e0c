/**
 * A runc-compatible program that runs containers in place of Gantry's own executor: how its commands are written, and
 * those of them that the daemon runs itself (features, update, kill, delete). `create`, `start` and `exec` are run
 * by the shim, whose children the container's processes become; see external-plan.ts.
 */
import { accessSync, constants } from "node:fs";
import { basename, join } from "node:path";
import { errnoCode, GantryError } from "../../base/errors.ts";
import { runProgram } from "../../native/program.ts";
import { stringifyExactJson } from "../exact-json.ts";
import type { Resources } from "../runtime-spec.ts";
import { parseFeatures, type ExternalFeatures } from "./external-features.ts";
import { runtimeMessage } from "./external-log.ts";
import { removeUnmounted } from "./external-state.ts";

export interface ExternalRuntimeOptions {
  /** Of the handler. */
  name: string;
  /** Absolute path. */
  binary: string;
  /** Before the command, after our own. */
  arguments: readonly string[];
  /** "NAME=value", besides PATH. */
  environment: readonly string[];
  /** Where it keeps its state (--root). */
  root: string;
  /** It makes its control groups with systemd. */
  systemdCgroup: boolean;
  /** Of each command; then it is killed. */
  timeoutMs: number;
  /** It has an `update` that must be told of new limits; the control group is written in any case. */
  update: boolean;
  /** Signals go by its `kill`, as its process on the host is not the container's. */
  kill: boolean;
}

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const OUTPUT_LIMIT_BYTES = 64 * 1024;
const FEATURES_LIMIT_BYTES = 1024 * 1024;

export class ExternalRuntime {
  readonly options: ExternalRuntimeOptions;

  constructor(options: ExternalRuntimeOptions) {
    this.options = options;
  }

  /** Of the program, for messages: "crun". */
  get program(): string {
    return basename(this.options.binary);
  }

  get environment(): string[] {
    return [PATH, ...this.options.environment];
  }

  /** @throws failed-precondition where the program is not there, or is none. */
  check(): void {
    const { name, binary } = this.options;
    try {
      accessSync(binary, constants.X_OK);
    } catch (error) {
      throw new GantryError(
        "failed-precondition",
        `runtime handler "${name}": ${binary}: ${errnoCode(error) ?? String(error)}`,
        { cause: error },
      );
    }
  }

  /** The command with everything before it, without the program's own name. */
  args(command: readonly string[], log?: string): string[] {
    const { root, systemdCgroup, arguments: own } = this.options;
    return [
      "--root",
      root,
      ...(log === undefined ? [] : ["--log", log]),
      "--log-format",
      "json",
      ...(systemdCgroup && !own.includes("--systemd-cgroup") ? ["--systemd-cgroup"] : []),
      ...own,
      ...command,
    ];
  }

  /** What the program says of itself; none where it has no such command. @throws as run, for a program that hangs. */
  async features(signal: AbortSignal): Promise<ExternalFeatures> {
    this.check();
    const run = { path: this.options.binary, args: ["features"], environment: this.environment, input: "" };
    const limits = { stdoutLimitBytes: FEATURES_LIMIT_BYTES, stderrLimitBytes: OUTPUT_LIMIT_BYTES };
    const { stdout, failure } = await runProgram(
      { ...run, ...limits },
      AbortSignal.any([signal, AbortSignal.timeout(this.options.timeoutMs)]),
    );
    return parseFeatures(failure === "" ? stdout : "");
  }

  /** Ends the container if it lives, and forgets it. No error where there is none. */
  async delete(id: string): Promise<void> {
    try {
      await this.#run(["delete", "--force", id]);
    } finally {
      // What it has not deleted, nobody will: its name is not used again.
      await removeUnmounted(join(this.options.root, id));
    }
  }

  async updateResources(id: string, resources: Resources): Promise<void> {
    if (this.options.update)
      await this.#run(["update", "--resources", "-", id], stringifyExactJson(resources));
  }

  async kill(id: string, signal: number): Promise<void> {
    await this.#run(["kill", id, String(signal)]);
  }

  /** @throws GantryError with what it says. */
  async #run(command: readonly string[], input = ""): Promise<void> {
    const { binary, timeoutMs } = this.options;
    const what = `${this.program} ${command[0]}`;
    const signal = AbortSignal.timeout(timeoutMs);
    const run = { path: binary, args: this.args(command), environment: this.environment, input };
    const limits = { stdoutLimitBytes: OUTPUT_LIMIT_BYTES, stderrLimitBytes: OUTPUT_LIMIT_BYTES };
    let failure: string;
    let stderr: string;
    try {
      ({ failure, stderr } = await runProgram({ ...run, ...limits }, signal));
    } catch (error) {
      const kind = signal.aborted ? "deadline-exceeded" : "failed-precondition";
      const why = signal.aborted
        ? `not finished after ${timeoutMs / 1000} s`
        : (errnoCode(error) ?? String(error));
      throw new GantryError(kind, `${what}: ${why}`, { cause: error });
    }
    if (failure !== "")
      throw new GantryError("failed-precondition", `${what}: ${runtimeMessage(stderr) ?? failure}`);
  }
}
