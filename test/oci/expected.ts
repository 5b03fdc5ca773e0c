/**
 * What of the suite cannot pass, with any runtime, and why; and the programs whose outcome is a race. Everything else
 * passes with gantry-oci, or asserts nothing.
 */

/** Programs that gantry-oci may fail, as runc and crun do. */
export const KNOWN_FAILURES: Readonly<Record<string, string>> = {
  delete_resources: "the suite compares pointers",
  linux_cgroups_blkio: "it needs leaf weights, which kernels have no longer",
  linux_cgroups_hugetlb: "it needs a v1 hierarchy of hugetlb",
  linux_cgroups_memory: "it needs limits of kernel memory, which kernels have no longer",
  linux_cgroups_network: "it needs v1 hierarchies of net_cls and net_prio",
  linux_cgroups_pids: "the suite compares pointers",
  linux_cgroups_relative_blkio: "as linux_cgroups_blkio",
  linux_cgroups_relative_hugetlb: "as linux_cgroups_hugetlb",
  linux_cgroups_relative_memory: "as linux_cgroups_memory",
  linux_cgroups_relative_network: "as linux_cgroups_network",
  linux_cgroups_relative_pids: "the suite compares pointers",
  misc_props: "the suite forgets to copy runtimetest into the bundle",
  process_capabilities: "it needs CAP_SYS_RESOURCE of its caller",
  process_rlimits: "runtimetest, a Go program, raises its own soft limit of open files",
};

/** Programs that look at a process while it starts or ends: run up to this often, with every runtime alike. */
export const RACES: ReadonlySet<string> = new Set(["killsig", "pidfile"]);
export const RACE_ATTEMPTS = 3;

/** What gantry-oci must not fail even where others do. */
export const REQUIRED: ReadonlySet<string> = new Set(["delete", "process_capabilities_fail"]);
