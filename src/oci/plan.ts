/**
 * The plan format: a header, then operations that the native half executes in order between clone and exec.
 *
 * Every operation is the new process's own, except those whose code has the parent bit: the launcher executes
 * them, in order too, while the process goes on with its own. They meet at RENDEZVOUS (the process waits for the
 * launcher's RELEASE) and at the end.
 *
 *   launcher:  LAUNCH ─ clone ─ parent ops ┬─ await ─ parent ops ─ RELEASE ┬─ … ─ await gate
 *   process:            own ops ───────────┴─ RENDEZVOUS ──────────────────┴─ … ─ GATE ─ … ─ EXEC
 *
 * A plan lives as long as one launch and is read by the same build that wrote it: the fingerprint of this table is
 * in the header, and another one is refused. docs/plan.md tells what each group of operations is for.
 */
import { GantryError } from "../base/errors.ts";
import { encodeRecord, type WireTable, type WireValues } from "../base/wire-table.ts";
import { PLAN_FINGERPRINT } from "./plan-fingerprint-generated.ts";
import type { IdMapping } from "./runtime-spec.ts";

/** Set in the code of an operation that the launcher executes instead of the process. */
const PARENT = 0x8000;

export const PLAN_TABLE = {
  name: "plan",
  doc: "operations of a plan; see src/oci/plan.ts",
  constants: {
    header: { magic: 0x4e4c5047, bytes: 16, parentBit: PARENT, maxOperations: 4096, maxBytes: 4 << 20 },
    launch: {
      gateWait: 1,
      gateFifo: 2,
      terminal: 4,
      joinPidfd: 8,
      /** For tests: behave as if the kernel had no mount_setattr(2), like 5.10. */
      oldKernel: 16,
    },
    mount: {
      /** The target itself must be a directory that is reached without symbolic links. */
      plainTarget: 1,
      /** What the target holds is copied into the new filesystem. */
      copyUp: 2,
    },
    bind: { recursive: 1, onProcfs: 2, idMapRecursive: 4 },
    pivot: { chroot: 1, detachShared: 2 },
    device: { bind: 1 },
    user: { keepCapabilities: 1 },
    tolerate: { refused: 1 },
    root: { classic: 1, detached: 2, slave: 4 },
    /** What a plan may keep open at once. */
    kept: { idMaps: 32, mounts: 1024 },
    attribute: { nosymfollow: 0x200000 },
  },
  records: {
    launch: {
      code: 1,
      doc: "how to clone the process; always the first operation",
      fields: {
        cloneFlags: ["u64", "CLONE_NEW* to create"],
        flags: ["u32", "LAUNCH_*"],
        cgroupDirectory: ["string", "v2 directory for CLONE_INTO_CGROUP; empty for none"],
      },
    },
    rendezvous: { code: 2, doc: "the process waits for RELEASE", fields: {} },
    fork: {
      code: 4,
      doc: "go on as a new child of the same parent, for a PID namespace that was joined",
      fields: { cloneFlags: ["u64", "CLONE_NEW* to create"] },
    },
    gate: { code: 3, doc: "report readiness and wait for the start", fields: {} },

    joinPidfd: {
      code: 10,
      doc: "setns(2) on the pidfd given at the launch",
      fields: { flags: ["u32", "CLONE_NEW*"], root: ["u32", "1: chroot to the root of the pidfd's process"] },
    },
    joinNamespace: {
      code: 11,
      doc: "setns(2) on a namespace file",
      fields: { type: ["u32", "CLONE_NEW*, checked by the kernel"], path: ["string", "host path"] },
    },
    unshare: { code: 12, doc: "unshare(2)", fields: { flags: ["u64", "CLONE_NEW*"] } },
    timeOffsets: {
      code: 13,
      doc: "enter a new time namespace with these offsets",
      fields: { text: ["string", "lines for /proc/self/timens_offsets"] },
    },
    becomeRoot: { code: 14, doc: "uid and gid 0 of the user namespace", fields: {} },
    cgroupJoin: {
      code: 15,
      doc: "move the process itself into v1 cgroups",
      fields: { files: ["strings", "the tasks files, host paths"] },
    },
    keyring: { code: 16, doc: "new session keyring", fields: { name: ["string", "its name"] } },

    currentRoot: {
      code: 17,
      doc: "paths in the root are those of the process's own root directory from here on",
      fields: {},
    },

    propagation: {
      code: 20,
      doc: "propagation of a mount, by mount(2)",
      fields: { flags: ["u64", "MS_*"], target: ["string", "path"] },
    },
    privateMount: {
      code: 34,
      doc: "make the mount that a host directory is on private",
      fields: { path: ["string", "the directory"] },
    },
    rootOverlay: {
      code: 21,
      doc: "mount an overlay as the root filesystem",
      fields: {
        lower: ["strings", "directories from the topmost to the lowest"],
        upper: ["string", "empty for a read-only mount"],
        work: ["string", "empty for a read-only mount"],
        options: ["strings", "key=value or key, for fsconfig(2)"],
        target: ["string", "host directory to mount on; empty: over the old root"],
        flags: ["u32", "ROOT_CLASSIC: mount(2) from the start; ROOT_DETACHED: mounted later, by ROOT_ATTACH"],
        uid: ["u32", "the kernel makes the work directory for this user, whom id-mapped layers must know"],
        gid: ["u32", "and for this group"],
        classicBase: [
          "string",
          "directory that the paths in classicData are relative to; empty: none possible",
        ],
        classicData: ["string", "options for mount(2), for kernels without lowerdir+"],
      },
    },
    rootBind: {
      code: 22,
      doc: "bind a directory as the root filesystem",
      fields: {
        flags: [
          "u32",
          "ROOT_DETACHED: mounted later, by ROOT_ATTACH; ROOT_SLAVE: the host's mounts below it appear in it",
        ],
        idMap: ["u32", "1: the first one kept, and so on; 0: none"],
        source: ["string", "host path"],
        target: ["string", "host directory; empty: over the old root"],
      },
    },
    mount: {
      code: 23,
      doc: "mount a filesystem on a path in the root",
      fields: {
        attributes: ["u64", "MOUNT_ATTR_*"],
        propagation: ["u64", "MS_*, 0: private"],
        flags: ["u32", "MOUNT_*"],
        type: ["string", "filesystem type"],
        source: ["string", "empty for none"],
        target: ["string", "path in the root"],
        parameters: ["strings", "key=value or key, for fsconfig(2)"],
      },
    },
    bind: {
      code: 24,
      doc: "bind a host path on a path in the root",
      fields: {
        set: ["u64", "MOUNT_ATTR_* to set on the mount"],
        clear: ["u64", "MOUNT_ATTR_* to clear on the mount"],
        recursiveSet: ["u64", "MOUNT_ATTR_* to set on it and all below"],
        recursiveClear: ["u64", "MOUNT_ATTR_* to clear on it and all below"],
        propagation: ["u64", "MS_*; 0: leave it"],
        flags: ["u32", "BIND_*"],
        number: ["u32", "KEEP_SOURCE has cloned it under; 0: it is cloned now"],
        source: ["string", "host path without symbolic links"],
        target: ["string", "path in the root"],
      },
    },
    remount: {
      code: 25,
      doc: "change a mount in the root, and the filesystem on it",
      fields: {
        set: ["u64", "MOUNT_ATTR_*"],
        clear: ["u64", "MOUNT_ATTR_*"],
        recursiveSet: ["u64", "MOUNT_ATTR_* to set on it and all below"],
        recursiveClear: ["u64", "MOUNT_ATTR_* to clear on it and all below"],
        propagation: ["u64", "MS_*; 0: leave it"],
        target: ["string", "path in the root"],
        parameters: ["strings", "of the filesystem: key=value or key, for fsconfig(2)"],
      },
    },
    makeDirectory: {
      code: 26,
      doc: "make a directory in the root, with those above it, where it is missing",
      fields: { path: ["string", "path in the root"] },
    },
    device: {
      code: 27,
      doc: "make a device node in the root",
      fields: {
        mode: ["u32", "file type and permissions"],
        major: ["u32", ""],
        minor: ["u32", ""],
        uid: ["u32", ""],
        gid: ["u32", ""],
        flags: ["u32", "DEVICE_BIND: bind the host's node of the same path instead"],
        directory: ["string", "path in the root"],
        name: ["string", "name in the directory"],
      },
    },
    symlink: {
      code: 28,
      doc: "make a symbolic link in the root; an existing file is left alone",
      fields: {
        directory: ["string", "path in the root"],
        name: ["string", ""],
        target: ["string", "its text"],
      },
    },
    readonlyPath: {
      code: 29,
      doc: "make a path in the root read-only; a missing one is ignored",
      fields: { path: ["string", "path in the root"] },
    },
    maskPath: {
      code: 30,
      doc: "hide a path in the root; a missing one is ignored",
      fields: { path: ["string", "path in the root"] },
    },
    pivot: {
      code: 31,
      doc: "make the root filesystem the root directory",
      fields: { flags: ["u32", "PIVOT_*"] },
    },
    rootAttributes: {
      code: 32,
      doc: "attributes and propagation of the root mount, after the pivot",
      fields: { set: ["u64", "MOUNT_ATTR_*"], propagation: ["u64", "MS_*; 0: leave it"] },
    },

    imageVolume: {
      code: 33,
      doc: "mount what an image holds, or a part of it, on a path in the root",
      fields: {
        set: ["u64", "MOUNT_ATTR_* to set on the mount"],
        clear: ["u64", "MOUNT_ATTR_* to clear on the mount"],
        flags: ["u32", "ROOT_CLASSIC: mount(2) from the start"],
        idMap: ["u32", "of the mount, for a source that is no overlay; 1: the first one kept; 0: none"],
        number: ["u32", "keep it for ATTACH under this number; 0: mount it on its target"],
        lower: ["strings", "directories from the topmost to the lowest"],
        options: ["strings", "of the overlay: key=value or key, for fsconfig(2)"],
        classicBase: [
          "string",
          "directory that the paths in classicData are relative to; empty: none possible",
        ],
        classicData: ["string", "options for mount(2), for kernels without lowerdir+"],
        source: ["string", "host directory that holds all of the image, instead of the overlay; or empty"],
        path: ["string", "in the image, links followed in it; empty for the whole"],
        target: ["string", "path in the root"],
      },
    },
    idMap: {
      code: 70,
      doc: "keep a user namespace as an id map for later operations",
      fields: {
        path: ["string", "namespace file; empty: make one"],
        uids: ["string", "lines of uid_map, for a new one"],
        gids: ["string", "lines of gid_map"],
      },
    },
    joinIdMap: {
      code: 71,
      doc: "setns(2) on a user namespace that is kept",
      fields: { idMap: ["u32", "its number, from 1"] },
    },
    mapDirectory: {
      code: 72,
      doc: "lay an id-mapped mount of a directory over itself, in the process's own mount namespace",
      fields: { idMap: ["u32", "its number, from 1"], path: ["string", "host path"] },
    },
    prepareBind: {
      code: 73,
      doc: "make a bind mount of a host path with its attributes, and keep it for ATTACH",
      fields: {
        number: ["u32", "to keep it under, from 1"],
        set: ["u64", "MOUNT_ATTR_* to set on the mount"],
        clear: ["u64", "MOUNT_ATTR_* to clear on the mount"],
        recursiveSet: ["u64", "MOUNT_ATTR_* to set on it and all below"],
        recursiveClear: ["u64", "MOUNT_ATTR_* to clear on it and all below"],
        propagation: ["u64", "MS_*; 0: leave it"],
        flags: ["u32", "BIND_*"],
        idMap: ["u32", "1: the first one kept, and so on; 0: none"],
        source: ["string", "host path without symbolic links"],
        target: ["string", "path in the root, for messages"],
      },
    },
    attach: {
      code: 74,
      doc: "put a mount that is kept on a path in the root",
      fields: {
        number: ["u32", "it is kept under"],
        flags: ["u32", "BIND_ON_PROCFS"],
        target: ["string", "path in the root"],
      },
    },
    keepSource: {
      code: 76,
      doc: "clone what is on a host path for BIND, while it still gets and gives mounts as the host's does",
      fields: {
        number: ["u32", "to keep it under, from 1"],
        flags: ["u32", "BIND_*"],
        source: ["string", "host path without symbolic links"],
        target: ["string", "path in the root, for messages"],
      },
    },
    rootAttach: {
      code: 75,
      doc: "put the detached root filesystem in its place",
      fields: { target: ["string", "host directory; empty: over the old root"] },
    },

    sysctl: {
      code: 40,
      doc: "write a kernel parameter",
      fields: { path: ["string", "relative to /proc/sys"], value: ["string", ""] },
    },
    hostname: { code: 41, doc: "sethostname(2)", fields: { name: ["string", ""] } },
    domainname: { code: 42, doc: "setdomainname(2)", fields: { name: ["string", ""] } },
    openFifo: { code: 43, doc: "open the start gate's fifo", fields: { path: ["string", "host path"] } },
    hook: {
      code: 44,
      doc: "run a hook in the process's namespaces, as its child",
      fields: {
        timeoutMs: ["u32", "0: none"],
        path: ["string", "program"],
        args: ["strings", ""],
        env: ["strings", ""],
        directory: ["string", "to run in, where it can be entered; empty: where the process is"],
        statePrefix: ["string", "state for its standard input, up to the pid"],
        stateSuffix: ["string", "and after it"],
      },
    },
    console: {
      code: 45,
      doc: "make a pty in the root's devpts; its master goes to the launcher, its slave becomes 0, 1 and 2",
      fields: {
        width: ["u32", "columns, 0: leave it"],
        height: ["u32", "rows"],
        devConsole: ["u32", "1: bind the slave on /dev/console"],
      },
    },
    session: { code: 46, doc: "setsid(2), with the terminal as the controlling one", fields: {} },
    ownStdio: {
      code: 47,
      doc: "give pipes and terminals on 0, 1 and 2 to a user",
      fields: { uid: ["u32", ""] },
    },

    rlimit: {
      code: 50,
      doc: "prlimit(2)",
      fields: { soft: ["u64", ""], hard: ["u64", ""], resource: ["u32", "RLIMIT_*"] },
    },
    oomScore: {
      code: 51,
      doc: "oom_score_adj",
      fields: { value: ["i32", ""], flags: ["u32", "TOLERATE_REFUSED: go on when it may not be lowered"] },
    },
    personality: { code: 52, doc: "personality(2)", fields: { persona: ["u64", ""] } },
    memoryPolicy: {
      code: 53,
      doc: "set_mempolicy(2)",
      fields: { mode: ["u32", "MPOL_* with MPOL_F_*"], nodes: ["bytes", "bit n is node n; empty: none"] },
    },
    ioPriority: { code: 54, doc: "ioprio_set(2)", fields: { priority: ["u32", "class << 13 | level"] } },
    cpuAffinity: {
      code: 55,
      doc: "sched_setaffinity(2)",
      fields: { mask: ["bytes", "bit n is processor n"] },
    },
    securityLabel: {
      code: 56,
      doc: "label of the program to execute",
      fields: { attribute: ["string", "below /proc/thread-self/attr"], label: ["string", ""] },
    },
    workingDirectory: {
      code: 57,
      doc: "chdir(2), in the root; nothing when it has been done",
      fields: { path: ["string", ""], flags: ["u32", "TOLERATE_REFUSED: leave it to a second attempt"] },
    },
    closeDescriptors: {
      code: 58,
      doc: "close all that the command must not have",
      fields: { preserve: ["u32", "keep 3 … 3+n-1"] },
    },
    noNewPrivileges: { code: 59, doc: "PR_SET_NO_NEW_PRIVS", fields: {} },
    boundingSet: { code: 60, doc: "drop all other capabilities for ever", fields: { mask: ["u64", "kept"] } },
    user: {
      code: 61,
      doc: "groups, gid, uid, umask",
      fields: {
        uid: ["u32", ""],
        gid: ["u32", ""],
        umask: ["u32", ""],
        flags: ["u32", "USER_KEEP_CAPABILITIES: the permitted set survives a uid other than 0"],
        groups: ["bytes", "u32 array"],
      },
    },
    capabilities: {
      code: 62,
      doc: "the four sets, exactly",
      fields: {
        effective: ["u64", ""],
        permitted: ["u64", ""],
        inheritable: ["u64", ""],
        ambient: ["u64", ""],
      },
    },
    seccomp: {
      code: 63,
      doc: "seccomp(2)",
      fields: { flags: ["u32", "SECCOMP_FILTER_FLAG_*"], program: ["bytes", "array of struct sock_filter"] },
    },
    seccompListen: {
      code: 67,
      doc: "seccomp(2) with a listener, whose descriptor goes to the launcher; returns when that says RELEASE",
      fields: { flags: ["u32", "SECCOMP_FILTER_FLAG_*"], program: ["bytes", "array of struct sock_filter"] },
    },
    checkCommand: {
      code: 64,
      doc: "fail unless one of the candidates is an executable file",
      fields: { candidates: ["strings", "paths"], name: ["string", "as it was asked for"] },
    },
    exec: {
      code: 65,
      doc: "execve(2) the first candidate that exists",
      fields: {
        candidates: ["strings", "paths"],
        name: ["string", "as it was asked for"],
        args: ["strings", ""],
        env: ["strings", ""],
      },
    },
    pause: { code: 66, doc: "reap children until SIGTERM or SIGINT", fields: {} },
    end: { code: 68, doc: "exit with status 0, as there is no command", fields: {} },

    runtimeCommand: {
      code: 80,
      doc: "run a command of an external runtime to its end, with the process's own standard streams",
      fields: {
        timeoutMs: ["u32", "then it is killed, with all that it has made; 0: none"],
        name: ["string", 'for messages: "crun create"'],
        path: ["string", "program"],
        args: ["strings", ""],
        env: ["strings", ""],
        directory: ["string", "its working directory"],
        console: [
          "string",
          "name of a socket in that directory, on which it hands over the terminal; empty: the process has none",
        ],
        log: ["string", "host file that gets what a failing command has left on its standard error"],
      },
    },
    adopt: {
      code: 81,
      doc: "a process that the external runtime has made goes on in place of this one; the last operation",
      fields: { pidFile: ["string", "host file with its pid"] },
    },

    release: { code: PARENT | 1, doc: "lets the process go on from its RENDEZVOUS", fields: {} },
    parentIdMap: {
      code: PARENT | 2,
      doc: "write /proc/PID/uid_map and gid_map",
      fields: { uids: ["string", "lines"], gids: ["string", "lines"] },
    },
    parentRlimit: {
      code: PARENT | 3,
      doc: "prlimit(2) on the process",
      fields: { soft: ["u64", ""], hard: ["u64", ""], resource: ["u32", "RLIMIT_*"] },
    },
    parentOomScore: {
      code: PARENT | 4,
      doc: "oom_score_adj of the process",
      fields: { value: ["i32", ""], flags: ["u32", "TOLERATE_REFUSED"] },
    },
    parentHook: {
      code: PARENT | 5,
      doc: "run a hook in the launcher's namespaces",
      fields: {
        timeoutMs: ["u32", "0: none"],
        path: ["string", "program"],
        args: ["strings", ""],
        env: ["strings", ""],
        directory: ["string", "to run in, where it can be entered; empty: where the process is"],
        statePrefix: ["string", "state for its standard input, up to the pid"],
        stateSuffix: ["string", "and after it"],
      },
    },
    parentScheduler: {
      code: PARENT | 6,
      doc: "sched_setattr(2) on the process",
      fields: {
        flags: ["u64", "SCHED_FLAG_*"],
        runtime: ["u64", "ns"],
        deadline: ["u64", "ns"],
        period: ["u64", "ns"],
        policy: ["u32", "SCHED_*"],
        nice: ["i32", ""],
        priority: ["u32", ""],
      },
    },
    parentListener: {
      code: PARENT | 7,
      doc: "take the descriptor of SECCOMP_LISTEN, which comes before, to a seccomp agent; RELEASE comes after",
      fields: {
        path: ["string", "unix stream socket of the agent"],
        state: ["strings", "the container process state; the process's pid comes between two parts"],
      },
    },
    parentNetDevice: {
      code: PARENT | 8,
      doc: "move a network interface into the process's network namespace, and configure it there",
      fields: {
        host: ["string", "its name here, for messages"],
        name: ["string", "its name there, by which it is found"],
        move: [
          "bytes",
          "netlink message to send here; its last 4 bytes become a descriptor of the namespace",
        ],
        configure: ["bytes", "netlink messages to send there; the 4 bytes at 20 of each become its index"],
      },
    },
  },
} as const satisfies WireTable;

/** See plan-host-phase.ts. */
export interface HostPhase {
  readonly plan: PlanWriter;
  /** Comes after `plan`: what is mounted here covers directories of the host. */
  readonly rootPlan: PlanWriter;
  /** In the new namespaces, before the process is their root: it may still reach directories of the host's root. */
  readonly entryPlan: PlanWriter;
  /** Called after the joins, where the phase ends. */
  end(): void;
  /** Lays an id-mapped mount of a host's directory over itself, once. */
  mapDirectory(path: string): void;
  /** The number of an id map, kept from here on; equal ones are kept once. 0 for no mappings. */
  idMap(uids: readonly IdMapping[] | undefined, gids: readonly IdMapping[] | undefined): number;
  /** The number of the container's own user namespace; 0: it has none. */
  readonly ownIdMap: number;
}

export type PlanRecords = (typeof PLAN_TABLE)["records"];
export type PlanOperationName = keyof PlanRecords;
export type PlanValues<Name extends PlanOperationName> = WireValues<PlanRecords[Name]>;

/** Of the table: in every plan's header, and in the C header. Written down, as finding it takes a millisecond of a command. */
export { PLAN_FINGERPRINT };

/** Collects operations in order; `finish` gives the plan. */
export class PlanWriter {
  #parts: (Buffer | PlanWriter)[] = [];
  /**
   * Where operations go that need the launcher's power or the host's paths, in a plan whose process gives them up
   * before its mounts (plan-host-phase.ts); undefined in all other plans.
   */
  hostPhase: HostPhase | undefined;
  /**
   * Where host paths are cloned before the root filesystem covers the host's root directory, and, where `shared`, before
   * the mount of that directory is cut off from the host's; see addRootfs.
   */
  sources: { plan: PlanWriter; shared: boolean } | undefined;
  #kept = 0;

  /** The next number for a mount that is kept. @throws resource-exhausted. */
  nextMount(): number {
    if (this.#kept === PLAN_TABLE.constants.kept.mounts)
      throw new GantryError("resource-exhausted", `more than ${this.#kept} bind mounts`);
    return ++this.#kept;
  }

  add<Name extends PlanOperationName>(name: Name, values: PlanValues<Name>): void {
    this.#parts.push(encodeRecord<PlanRecords[Name]>(PLAN_TABLE.records[name], values));
  }

  /** A part of the plan at this point, which may be written to later. */
  section(): PlanWriter {
    const part = new PlanWriter();
    this.#parts.push(part);
    return part;
  }

  #operations(): Buffer[] {
    return this.#parts.flatMap((part) => (part instanceof PlanWriter ? part.#operations() : [part]));
  }

  finish(): Uint8Array {
    const operations = this.#operations();
    const { magic, bytes } = PLAN_TABLE.constants.header;
    const header = Buffer.alloc(bytes);
    header.writeUInt32LE(magic, 0);
    header.writeUInt32LE(PLAN_FINGERPRINT, 4);
    header.writeUInt32LE(
      operations.reduce<number>((sum, part) => sum + part.length, bytes),
      8,
    );
    header.writeUInt32LE(operations.length, 12);
    return Buffer.concat([header, ...operations]);
  }
}
