/**
 * AppArmor on this host: whether the kernel has it, which profiles are loaded, and loading the default one. Compiling a
 * profile takes apparmor_parser, which runs once, before the first container that needs it; nothing else of AppArmor
 * needs a tool.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errorMessage, GantryError, wrapError } from "../base/errors.ts";
import { DEFAULT_APPARMOR_POLICY, DEFAULT_APPARMOR_PROFILE } from "./apparmor-profile.ts";

const PARSERS = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];
const PARSER_TIMEOUT_MS = 30_000;

export interface AppArmorOptions {
  /** Default: "/sys". */
  sysfs?: string;
  /** Programs that load a profile from their standard input, of which the first that exists is run. */
  parsers?: readonly string[];
}

export class AppArmor {
  readonly enabled: boolean;
  readonly #profiles: string;
  readonly #parsers: readonly string[];
  #loading: Promise<void> | undefined;

  constructor({ sysfs = "/sys", parsers = PARSERS }: AppArmorOptions = {}) {
    this.enabled = isEnabled(join(sysfs, "module/apparmor/parameters/enabled"));
    this.#profiles = join(sysfs, "kernel/security/apparmor/profiles");
    this.#parsers = parsers;
  }

  /** Whether a profile of this name is loaded. @throws failed-precondition where the kernel's list cannot be read. */
  async isLoaded(name: string): Promise<boolean> {
    let list: string;
    try {
      // Loaded when needed, as a short command asks only whether there is AppArmor.
      list = await process.getBuiltinModule("node:fs/promises").readFile(this.#profiles, "utf8");
    } catch (error) {
      throw new GantryError("failed-precondition", `AppArmor profiles: ${errorMessage(error)}`, {
        cause: error,
      });
    }
    return list.split("\n").some((line) => line.replace(/ \([a-z]+\)$/, "") === name);
  }

  /** The name of the default profile, loaded. @throws failed-precondition where it cannot be. */
  async defaultProfile(): Promise<string> {
    // Who asks meanwhile must not look at a list that is older than the load.
    this.#loading ??= this.#loadIfMissing().finally(() => {
      this.#loading = undefined;
    });
    await this.#loading;
    return DEFAULT_APPARMOR_PROFILE;
  }

  async #loadIfMissing(): Promise<void> {
    if (await this.isLoaded(DEFAULT_APPARMOR_PROFILE)) return;
    const parser = this.#parsers.find((path) => existsSync(path));
    if (parser === undefined)
      throw new GantryError(
        "failed-precondition",
        `AppArmor profile ${DEFAULT_APPARMOR_PROFILE} is not loaded, and there is no apparmor_parser to load it`,
      );
    try {
      await run(parser, ["-K", "-r"], DEFAULT_APPARMOR_POLICY);
    } catch (error) {
      throw wrapError(`load AppArmor profile ${DEFAULT_APPARMOR_PROFILE}`, error, "failed-precondition");
    }
  }
}

function isEnabled(path: string): boolean {
  try {
    return readFileSync(path, "latin1").startsWith("Y");
  } catch {
    return false;
  }
}

function run(program: string, args: string[], input: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { timeout: PARSER_TIMEOUT_MS, env: {}, cwd: "/" };
    const child = process
      .getBuiltinModule("node:child_process")
      .execFile(program, args, options, (error, _stdout, stderr) => {
        if (!error) resolve();
        else reject(new Error(stderr.trim().slice(-1024) || error.message, { cause: error }));
      });
    child.stdin?.on("error", () => undefined).end(input);
  });
}
