/**
 * One virtual machine: qemu without acceleration, which every host can run, as a child of ours that never outlives its
 * use. It boots a disk that it may write to without changing it, has a second disk with the work tree, and shares one
 * directory with the host. What its job prints comes out of qemu's standard output.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { RootImage } from "./root-image.ts";

export interface MachineOptions {
  image: RootImage;
  /** Disk with the work tree; written to only in a copy that ends with the machine. */
  workDisk: string;
  /** Shared with the guest at /job. */
  share: string;
  /** For the console's log and qemu's own files. */
  directory: string;
  limitMs: number;
  /** Ends the machine. */
  signal: AbortSignal;
  output: (chunk: Buffer) => void;
}

/** Without protection keys: V8 would change them at each turn, which empties the emulated TLB. */
const PROCESSOR = "max,-pku";
const MEMORY_MIB = 3584;
const PROCESSORS = 2;
const KERNEL_ARGUMENTS = [
  "root=/dev/vda rw console=ttyS0 panic=-1 net.ifnames=0 mitigations=off",
  // The rate of the processor's own counter is measured at boot, and far wrong where the host is busy then.
  "clocksource=hpet tsc=unstable random.trust_cpu=on systemd.unified_cgroup_hierarchy=1",
];

/** Boots it and waits for its end. Resolves to the exit status of the job. @throws Error where the job did not end. */
export async function runMachine(options: MachineOptions): Promise<number> {
  const { directory, share } = options;
  const consoleLog = join(directory, "console.log");
  const child = spawn("qemu-system-x86_64", machineArguments(options, consoleLog), {
    // An end of its standard input would close the port that the output comes through.
    stdio: ["pipe", "pipe", "pipe"],
    // For the copies of the disks.
    env: { ...process.env, TMPDIR: directory },
  });
  const complaints: Buffer[] = [];
  child.stdout.on("data", options.output);
  child.stderr.on("data", (chunk: Buffer) => complaints.push(chunk));
  let reason = "the machine ended before its job did";
  const end = (why: string): void => {
    reason = why;
    child.kill("SIGKILL");
  };
  const onAbort = (): void => end("it was ended");
  const limit = setTimeout(
    () => end(`it took longer than ${options.limitMs / 60_000} minutes`),
    options.limitMs,
  );
  options.signal.addEventListener("abort", onAbort);
  try {
    await once(child, "close");
  } finally {
    clearTimeout(limit);
    options.signal.removeEventListener("abort", onAbort);
    child.kill("SIGKILL");
  }
  const status = await readFile(join(share, "status"), "utf8").catch(() => undefined);
  if (status !== undefined) return Number(status);
  const said = Buffer.concat(complaints).toString() || (await readFile(consoleLog, "utf8").catch(() => ""));
  throw new Error(`virtual machine: ${reason}:\n${said.slice(-2000)}`);
}

function machineArguments({ image, workDisk, share }: MachineOptions, consoleLog: string): string[] {
  const drive = (file: string): string[] => [
    "-drive",
    `file=${file},if=virtio,format=raw,snapshot=on,cache=unsafe,aio=threads`,
  ];
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none"],
    ...["-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", PROCESSOR],
    ...["-smp", String(PROCESSORS), "-m", String(MEMORY_MIB)],
    ...["-kernel", image.kernel, "-initrd", image.initialRamdisk, "-append", KERNEL_ARGUMENTS.join(" ")],
    ...["-serial", `file:${consoleLog}`],
    ...drive(image.disk),
    ...drive(workDisk),
    ...["-device", "virtio-rng-pci"],
    ...["-virtfs", `local,path=${share},mount_tag=job,security_model=none,multidevs=remap`],
    ...["-device", "virtio-serial-pci", "-chardev", "stdio,id=output,signal=off"],
    ...["-device", "virtserialport,chardev=output,name=output"],
  ];
}
