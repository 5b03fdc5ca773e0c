/**
 * What the engine reads of the host for statistics besides cgroups, as an interface, so that the engine's tests need no
 * root. The real one is usage-probe-linux.ts.
 */
import type { DescriptorCount } from "../native/small-files.ts";
import type { CountersOf } from "../network/interface-counters.ts";
import type { FilesystemCapacity } from "./resources.ts";

export interface UsageProbe {
  /** Counters of the interfaces but loopback, by namespace. */
  interfaces(netnsPaths: readonly string[]): Promise<CountersOf>;
  /** Open descriptors by process; zero for one that has ended. */
  descriptors(pids: readonly number[]): Promise<DescriptorCount[]>;
  /** Soft limits on open files by process; undefined for one that has ended or has no limit. */
  openFilesLimits(pids: readonly number[]): Promise<(number | undefined)[]>;
  /** Of the filesystem that holds the directory. */
  capacity(directory: string): Promise<FilesystemCapacity>;
  /** Path of a block device; "" where it has none. */
  deviceName(major: number, minor: number): string;
}
