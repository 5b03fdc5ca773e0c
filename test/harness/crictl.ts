/** The real crictl against one endpoint. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CommandResult, runCommand } from "./command.ts";

export class Crictl {
  readonly #program: string;
  readonly #endpoint: string;
  readonly #directory: string;
  #files = 0;

  /** @param directory where pod and container configurations are written. */
  constructor(program: string, endpoint: string, directory: string) {
    this.#program = program;
    this.#endpoint = endpoint;
    this.#directory = directory;
  }

  /** The command line that runs it. */
  command(...args: string[]): [program: string, args: string[]] {
    const global = [
      "--runtime-endpoint",
      this.#endpoint,
      "--image-endpoint",
      this.#endpoint,
      "--timeout",
      "60s",
    ];
    return [this.#program, ["--config", "/dev/null", ...global, ...args]];
  }

  /** Runs it, whatever it answers. */
  try(...args: string[]): Promise<CommandResult> {
    return this.tryWith("", ...args);
  }

  /** The same with a standard input. */
  tryWith(input: string, ...args: string[]): Promise<CommandResult> {
    return runCommand(...this.command(...args), { input });
  }

  /** Its standard output, trimmed; rejects unless it exits 0. */
  async run(...args: string[]): Promise<string> {
    const result = await this.try(...args);
    if (result.code !== 0)
      throw new Error(`crictl ${args.join(" ")}: exit ${result.code}: ${result.stderr}${result.stdout}`);
    return result.stdout.trim();
  }

  /** Its output parsed as JSON. */
  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.run(...args)) as T;
  }

  /** Writes a configuration and returns its path. */
  async config(value: object): Promise<string> {
    const path = join(this.#directory, `crictl-${++this.#files}.json`);
    await writeFile(path, JSON.stringify(value));
    return path;
  }
}
