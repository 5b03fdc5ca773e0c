/**
 * The command line of gantryd: serving, which is what it does without a command, and two commands on configuration.
 */
import { Command } from "commander";
import { defaultConfigToml } from "./config-document.ts";
import { loadConfig, type ConfigOverrides, type LoadedConfig } from "./config.ts";
import { VERSION } from "./version.ts";

interface Options extends ConfigOverrides {
  config?: string;
}

/** Runs what the arguments ask for. Resolves when a command is done; `serve` goes on until it is stopped. */
export async function parseCommandLine(argv: readonly string[]): Promise<void> {
  await gantrydCommand().parseAsync(argv);
}

/** The command line as data: its manual page and its completion are made from it too. */
export function gantrydCommand(): Command {
  const program = new Command("gantryd")
    .description("A Kubernetes container runtime: serves the CRI on a unix socket.")
    .version(VERSION)
    .option("--config <file>", "configuration file (default: /etc/gantry/config.toml, if it exists)")
    .option("--root <directory>", "what outlives a reboot: images, snapshots, records")
    .option("--state <directory>", "live state: shims, namespaces, sockets")
    .option("--listen <socket>", "socket of the CRI: unix:///PATH")
    .option("--log-level <level>", "debug, info, warn or error");
  const load = (): LoadedConfig => {
    const { config, ...overrides } = program.opts<Options>();
    return loadConfig(config, overrides);
  };

  program.action(async () => {
    const loaded = load();
    const { serve } = await import("./serve.ts");
    await serve(loaded);
  });
  const config = program.command("config").description("show and check the configuration");
  config
    .command("default")
    .description("print a complete configuration file with the defaults")
    .action(() => void process.stdout.write(defaultConfigToml()));
  config
    .command("check")
    .description("read the configuration as a start would, and say what is wrong with it")
    .option("--config <file>", "configuration file")
    .action((_options: unknown, command: Command) => {
      const { config: file } = command.optsWithGlobals<Options>();
      const { files } = loadConfig(file);
      process.stdout.write(
        `${files.length > 0 ? files.join(", ") : "built-in defaults"}: the configuration is right\n`,
      );
    });
  return program;
}
