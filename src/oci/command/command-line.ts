/**
 * The command line of gantry-oci: the executor as a command on OCI bundles, with the commands and options of other OCI
 * runtimes.
 *
 * Each command's code is loaded when it is asked for. A failure is one line in the log, one on standard error, and
 * exit status 1.
 */
import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { GantryError } from "../../base/errors.ts";
import { CommandLog, type CommandContext } from "./command-context.ts";
import type { CreateOptions } from "./create.ts";
import type { ExecOptions } from "./exec.ts";
import type { RunOptions } from "./run.ts";
import type { UpdateOptions } from "./update.ts";

export const gantryOciCommand = new Command("gantry-oci")
  .description("runs containers from OCI bundles")
  .version("0.1.0\nspec: 1.3.0", "-v, --version")
  .option("--root <dir>", "directory of the containers' state", "/run/gantry-oci")
  .option("--log <file>", "log file; standard error unless given")
  .addOption(
    new Option("--log-format <format>", "format of the log").choices(["text", "json"]).default("text"),
  )
  .option("--systemd-cgroup", "cgroups through systemd")
  .option("--rootless <value>", "ignored")
  .option("--debug", "log more", false)
  .enablePositionalOptions()
  .showHelpAfterError();

function commandContext(): CommandContext {
  const options = gantryOciCommand.opts<{
    root: string;
    log?: string;
    logFormat: "text" | "json";
    debug: boolean;
    systemdCgroup?: boolean;
  }>();
  if (options.systemdCgroup) {
    throw new GantryError("unimplemented", "--systemd-cgroup: cgroups are made through cgroupfs only");
  }
  return { root: resolve(options.root), log: new CommandLog(options.log, options.logFormat, options.debug) };
}

function natural(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError("not a number");
  return Number(text);
}
const collect = (value: string, list: string[]): string[] => [...list, value];

function withCreateOptions(command: Command): Command {
  return command
    .argument("<id>", "container id")
    .option("-b, --bundle <dir>", "bundle directory", ".")
    .option("--console-socket <path>", "unix socket that gets the terminal's master")
    .option("--pid-file <file>", "file that gets the pid of the container's process")
    .option("--no-pivot", "chroot instead of pivot_root")
    .option("--no-new-keyring", "keep the caller's session keyring")
    .option("--preserve-fds <n>", "descriptors after standard error that the process gets", natural, 0);
}

/** Runs a command's work; what it resolves to is the exit status. */
async function perform(
  work: (context: CommandContext) => Promise<number | void> | number | void,
): Promise<void> {
  let log = new CommandLog(
    gantryOciCommand.opts<{ log?: string }>().log,
    gantryOciCommand.opts<{ logFormat: "text" | "json" }>().logFormat,
    false,
  );
  try {
    const context = commandContext();
    log = context.log;
    process.exitCode = (await work(context)) ?? 0;
  } catch (error) {
    log.error(error);
    process.exitCode = 1;
  }
}

gantryOciCommand
  .command("spec")
  .description("write a configuration to start from")
  .option("-b, --bundle <dir>", "bundle directory", ".")
  .action((options: { bundle: string }) =>
    perform(async () => (await import("./spec.ts")).spec(options.bundle)),
  );

withCreateOptions(
  gantryOciCommand.command("create").description("make a container; its process waits for start"),
).action((id: string, options: CreateOptions) =>
  perform(async (context) => (await import("./create.ts")).create(context, id, options)),
);

gantryOciCommand
  .command("start")
  .description("let a created container execute its command")
  .argument("<id>")
  .action((id: string) => perform(async (context) => (await import("./start.ts")).start(context, id)));

withCreateOptions(
  gantryOciCommand.command("run").description("create and start; in the foreground also wait and delete"),
)
  .option("-d, --detach", "leave the container running", false)
  .option("--keep", "do not delete the container after it has exited", false)
  .action((id: string, options: RunOptions) =>
    perform(async (context) => (await import("./run.ts")).run(context, id, options)),
  );

gantryOciCommand
  .command("state")
  .description("print the state of a container")
  .argument("<id>")
  .action((id: string) => perform(async (context) => (await import("./state.ts")).state(context, id)));

gantryOciCommand
  .command("kill")
  .description("send a signal to a container's process")
  .argument("<id>")
  .argument("[signal]", "name or number", "SIGTERM")
  .option("-a, --all", "to all processes of the container", false)
  .action((id: string, signal: string, options: { all: boolean }) =>
    perform(async (context) => (await import("./kill.ts")).kill(context, id, signal, options.all)),
  );

gantryOciCommand
  .command("pause")
  .description("freeze all processes of a container")
  .argument("<id>")
  .action((id: string) => perform(async (context) => (await import("./pause.ts")).pause(context, id)));

gantryOciCommand
  .command("resume")
  .description("let the processes of a paused container go on")
  .argument("<id>")
  .action((id: string) => perform(async (context) => (await import("./pause.ts")).resume(context, id)));

gantryOciCommand
  .command("ps")
  .description("show the processes of a container")
  .argument("<id>")
  .argument("[options...]", "of ps(1)")
  .passThroughOptions()
  .addOption(new Option("-f, --format <format>").choices(["table", "json"]).default("table"))
  .action((id: string, psOptions: string[], options: { format: "table" | "json" }) =>
    perform(async (context) => (await import("./ps.ts")).ps(context, id, options.format, psOptions)),
  );

gantryOciCommand
  .command("update")
  .description("change the limits of a container, all that are given or none")
  .argument("<id>")
  .option("-r, --resources <file>", `file with the specification's resources, "-" for standard input`)
  .option("--blkio-weight <n>", "weight of block I/O")
  .option("--cpu-period <us>", "period of the CPU quota")
  .option("--cpu-quota <us>", "CPU time in a period")
  .option("--cpu-burst <us>", "CPU time that may be saved up")
  .option("--cpu-share <n>", "CPU shares")
  .option("--cpu-rt-period <us>", "period of the realtime quota")
  .option("--cpu-rt-runtime <us>", "realtime CPU time in a period")
  .option("--cpu-idle <n>", "1: runs only when nothing else does")
  .option("--cpuset-cpus <list>", "processors")
  .option("--cpuset-mems <list>", "memory nodes")
  .option("--memory <bytes>", "limit of memory")
  .option("--memory-reservation <bytes>", "soft limit of memory")
  .option("--memory-swap <bytes>", "limit of memory and swap together; -1: none")
  .option("--pids-limit <n>", "limit of processes; -1: none")
  .action((id: string, options: UpdateOptions) =>
    perform(async (context) => (await import("./update.ts")).update(context, id, options)),
  );

gantryOciCommand
  .command("features")
  .description("print what this runtime knows, as JSON")
  .action(() =>
    perform(async () => {
      const { features } = await import("./features.ts");
      process.stdout.write(`${JSON.stringify(features(), undefined, 2)}\n`);
    }),
  );

gantryOciCommand
  .command("delete")
  .description("remove a stopped container")
  .argument("<id>")
  .option("-f, --force", "kill it first if need be", false)
  .action((id: string, options: { force: boolean }) =>
    perform(async (context) => (await import("./delete.ts")).deleteContainer(context, id, options.force)),
  );

gantryOciCommand
  .command("list")
  .description("list containers")
  .addOption(new Option("-f, --format <format>").choices(["table", "json"]).default("table"))
  .option("-q, --quiet", "ids only", false)
  .action((options: { format: "table" | "json"; quiet: boolean }) =>
    perform(async (context) => (await import("./list.ts")).list(context, options.format, options.quiet)),
  );

gantryOciCommand
  .command("exec")
  .description("run a further process in a container")
  .argument("<id>")
  .argument("[command...]", "unless --process is given")
  .passThroughOptions()
  .option("-p, --process <file>", "process.json")
  .option("-d, --detach", "do not wait for the process", false)
  .option("--pid-file <file>", "file that gets the pid of the process")
  .option("-t, --tty", "with a terminal")
  .option("--console-socket <path>", "unix socket that gets the terminal's master")
  .option("-u, --user <uid[:gid]>", "user and group of the process")
  .option("-g, --additional-gids <gid>", "further group", collect, [])
  .option("--cwd <dir>", "working directory in the container")
  .option("-e, --env <key=value>", "environment variable", collect, [])
  .option("-c, --cap <name>", "capability to add", collect, [])
  .option("--no-new-privs", "set no_new_privs")
  .option("--apparmor <profile>", "AppArmor profile")
  .option("--process-label <label>", "SELinux label")
  .option("--preserve-fds <n>", "descriptors after standard error that the process gets", natural, 0)
  .action((id: string, command: string[], options: ExecOptions & { newPrivs: boolean }) =>
    perform(async (context) => {
      // Commander reads "--no-new-privs" as the negation of an option "new-privs".
      const { newPrivs, ...rest } = options;
      const { exec } = await import("./exec.ts");
      return exec(context, id, command, newPrivs ? rest : { ...rest, noNewPrivs: true });
    }),
  );
