/**
 * Stand-ins for what the engine is given, for tests without root: each keeps a list of what was asked of it and can
 * be told to fail. A fake shim's container exits when the test says so, or when it is killed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { PassThrough } from "node:stream";
import { type Digest, parseDigest } from "../base/digest.ts";
import { GantryError } from "../base/errors.ts";
import { silentLogger } from "../base/logger.ts";
import type { ImageRecord, ImageService } from "../image/image.ts";
import type { PodNetwork } from "../network/pod-network.ts";
import { AppArmor } from "../oci/apparmor.ts";
import { Selinux } from "../oci/selinux.ts";
import { CdiRegistry } from "../oci/cdi-registry.ts";
import type { Cgroup, CgroupDetails, CgroupManager, CgroupStats, Readings } from "../oci/cgroup.ts";
import type { Resources } from "../oci/runtime-spec.ts";
import { planOf } from "../shim/shim.ts";
import type { ExitRecord, Shim, ShimExec, ShimManager } from "../shim/shim.ts";
import type { Snapshotter } from "../snapshotter/snapshotter.ts";
import { openRecordStore } from "../store/record-store.ts";
import type { EngineOptions } from "./engine-context.ts";
import type { PodHost } from "./pod-host.ts";
import type { UsageProbe } from "./usage-probe.ts";

const CHAIN = parseDigest(`sha256:${"c".repeat(64)}`);

export class FakeShim implements Shim {
  readonly id: string;
  readonly shimPid = 100;
  readonly initPid = 101;
  readonly launchedAtNs = 3n;
  readonly #exit = Promise.withResolvers<ExitRecord>();
  readonly #asked: string[];
  exec: Shim["exec"] = () => Promise.reject(new GantryError("unavailable", "no exec in this fake"));

  constructor(id: string, asked: string[]) {
    this.id = id;
    this.#asked = asked;
  }

  exits(record: Partial<ExitRecord>): void {
    this.#exit.resolve({
      exitCode: 0,
      signal: 0,
      exitedAtNs: 5n,
      oomKilled: false,
      shimLost: false,
      ...record,
    });
  }

  kill(signal: number): Promise<void> {
    this.#asked.push(`kill ${signal}`);
    if (signal === 9) this.exits({ exitCode: 137, signal: 9 });
    return Promise.resolve();
  }

  endIfStuck = (): Promise<void> => Promise.resolve();
  wait = (): Promise<ExitRecord> => this.#exit.promise;
  start = (): Promise<void> => Promise.resolve();
  attach: Shim["attach"] = () => Promise.reject(new Error("no attach in this fake"));
  resize = (): Promise<void> => Promise.resolve();
  reopenLog = (): Promise<void> => Promise.resolve();
  disconnect = (): void => undefined;

  delete(): Promise<void> {
    this.#asked.push("delete shim");
    return Promise.resolve();
  }
}

/** An exec that prints and exits. */
export function fakeExec(stdout: string, exitCode: number): ShimExec {
  const out = new PassThrough();
  const err = new PassThrough();
  out.end(stdout);
  err.end();
  return {
    pid: 102,
    stdin: undefined,
    stdout: out,
    stderr: err,
    wait: () => Promise.resolve({ exitCode, signal: 0 }),
    kill: () => Promise.resolve(),
    resize: () => Promise.resolve(),
    close: () => undefined,
  };
}

export class FakeParts {
  readonly directory = mkdtempSync(join(tmpdir(), "gantry-engine-"));
  /** What was asked, in order: "pin net,ipc,uts", "network setup", "prepare", "shim start". */
  readonly asked: string[] = [];
  readonly shims = new Map<string, FakeShim>();
  readonly pinned = new Set<string>();
  readonly snapshots = new Set<string>();
  /** Groups that others have made. */
  readonly foreignCgroups = new Set<string>();
  /** What cgroups were updated with. */
  readonly updates: Resources[] = [];
  /** What is counted of a cgroup; undefined for one that does not exist. */
  counters: (path: string) => CgroupStats | undefined = () => undefined;
  /** Containers have exited by the time their start is told. */
  exitAtOnce = false;
  /** Shims do not answer who looks for them. */
  stuck = false;
  /** A step of `asked` that fails the next time. */
  failAt = "";
  /** A step of `asked` that waits for this promise. */
  pause: { step: string; until: Promise<void> } | undefined;

  async #ask(step: string): Promise<void> {
    this.asked.push(step);
    if (this.pause?.step === step) await this.pause.until;
    if (this.failAt === step) {
      this.failAt = "";
      throw new GantryError("unavailable", `${step} was told to fail`);
    }
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  options(): EngineOptions {
    return {
      stateDirectory: this.directory,
      store: openRecordStore(join(this.directory, "containers.db"), "crash"),
      images: this.#images(),
      snapshotter: this.#snapshotter(),
      network: this.#network(),
      shims: this.#shimManager(),
      cgroups: this.#cgroups(),
      host: this.#host(),
      usageProbe: this.#usageProbe(),
      log: silentLogger,
      handlers: [{ name: "", recursiveReadOnlyMounts: true, userNamespaces: false }],
      defaultCgroupParent: "/test",
      shimCgroup: { tasksFiles: [] },
      seccompDefaultProfile: "",
      apparmor: new AppArmor({ sysfs: this.directory }),
      selinux: new Selinux({ selinuxfs: this.directory }),
      cdi: new CdiRegistry([join(this.directory, "cdi")]),
      shmSizeBytes: 65536,
      openFiles: { soft: 1024, hard: 4096 },
    };
  }

  #host(): PodHost {
    return {
      pinNamespaces: async (directory, namespaces) => {
        const kinds = (["net", "ipc", "uts", "user"] as const).filter((kind) => namespaces[kind]);
        await this.#ask(`pin ${kinds.join()}`);
        for (const kind of kinds) this.pinned.add(join(directory, kind));
      },
      unpinNamespaces: async (directory) => {
        await this.#ask("unpin");
        for (const path of this.pinned) if (path.startsWith(directory)) this.pinned.delete(path);
      },
      writeNetworkSysctls: () => this.#ask("write network sysctls"),
      mountShm: () => this.#ask("mount shm"),
      unmount: () => this.#ask("unmount"),
      connectLoopback: async (netnsPath, port) => {
        await this.#ask(`connect ${netnsPath === undefined ? "host" : basename(netnsPath)} ${port}`);
        return new PassThrough();
      },
      isPinned: (path) => this.pinned.has(path),
    };
  }

  #usageProbe(): UsageProbe {
    const counters = { rxBytes: 10, rxPackets: 1, rxErrors: 0, rxDropped: 0 };
    const sent = { txBytes: 20, txPackets: 2, txErrors: 0, txDropped: 0 };
    return {
      interfaces: () => Promise.resolve(() => [{ name: "eth0", ...counters, ...sent }]),
      descriptors: (pids) => Promise.resolve(pids.map(() => ({ descriptors: 3, sockets: 1 }))),
      openFilesLimits: (pids) => Promise.resolve(pids.map(() => 1024)),
      capacity: () => Promise.resolve({ device: "/dev/fake", sizeBytes: 1000, inodes: 100, inodesFree: 60 }),
      deviceName: () => "/dev/fake",
    };
  }

  #network(): PodNetwork {
    return {
      name: "fake",
      status: () => ({ ready: true, reason: "", message: "" }),
      setup: async () => {
        await this.#ask("network setup");
        return { ips: ["10.0.0.2"], interfaceName: "eth0", state: { lease: 2 } };
      },
      teardown: () => this.#ask("network teardown"),
      abandon: () => void this.asked.push("network abandon"),
      setPodCidrs: (podCidrs) => this.#ask(`pod CIDRs ${podCidrs.join(" ")}`),
      collect: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
  }

  #shimManager(): ShimManager {
    return {
      start: async (options) => {
        await planOf(options);
        await this.#ask("shim start");
        const shim = new FakeShim(options.id, this.asked);
        if (this.exitAtOnce) shim.exits({ exitCode: 0 });
        this.shims.set(options.id, shim);
        return shim;
      },
      connect: (id) => {
        if (this.stuck) return Promise.reject(new GantryError("unavailable", `shim ${id} does not answer`));
        return Promise.resolve(this.shims.get(id));
      },
      list: () => Promise.resolve([...this.shims.keys()]),
      discard: async (id) => {
        await this.#ask("discard shim");
        this.shims.get(id)?.exits({ exitCode: 137 });
        this.shims.delete(id);
      },
    };
  }

  #snapshotter(): Snapshotter {
    const fake: Partial<Snapshotter> = {
      name: "fake",
      directory: "/fake",
      prepare: async (key) => {
        await this.#ask("prepare");
        this.snapshots.add(key);
        return { type: "bind", source: "/fake", readonly: false };
      },
      mount: () => ({ type: "bind", source: "/fake", readonly: false }),
      view: async (key) => {
        await this.#ask("view");
        this.snapshots.add(key);
        return { type: "bind", source: "/fake", readonly: true };
      },
      fileKind: (_chain, path) => (path === "etc" ? "directory" : undefined),
      remove: async (key) => {
        await this.#ask("remove snapshot");
        this.snapshots.delete(key);
      },
      list: () => [...this.snapshots].map((name) => ({ name, kind: "active", createdAtMs: 0 })),
      usage: () => Promise.resolve({ bytes: 4096, inodes: 1 }),
      readFile: () => Promise.resolve(Buffer.from("app:x:1000:1000::/home/app:/bin/sh\n")),
    };
    return fake as Snapshotter;
  }

  #images(): ImageService {
    const id: Digest = parseDigest(`sha256:${"a".repeat(64)}`);
    const record = {
      id,
      repoTags: ["example.com/app:1"],
      repoDigests: [],
      chainId: CHAIN,
      config: {
        user: "app",
        env: ["A=1"],
        entrypoint: ["/app"],
        cmd: ["serve"],
        workingDir: "",
        stopSignal: "SIGINT",
        volumes: [],
        labels: {},
      },
    } as unknown as ImageRecord;
    const fake: Partial<ImageService> = {
      collect: () => Promise.resolve(),
      get: (name) => (name === "example.com/app:1" || name === id ? record : undefined),
    };
    return fake as ImageService;
  }

  #readings(paths: readonly string[]): Readings<CgroupStats> {
    return {
      at: (index) => {
        const path = paths[index];
        return path === undefined ? undefined : this.counters(path);
      },
      processIds: () => [1, 2],
    };
  }

  #cgroups(): CgroupManager {
    const cgroup: Partial<Cgroup> = {
      entries: () => ({ tasksFiles: [] }),
      execEntries: () => ({ tasksFiles: [] }),
      entered: async () => {
        if (this.failAt === "enter cgroup") await this.#ask("enter cgroup");
      },
      memoryDirectory: () => undefined,
      kill: () => Promise.resolve(),
      remove: async () => this.#ask("remove cgroup"),
      removeShadow: async () => this.#ask("remove shadow"),
      processes: () => Promise.resolve([]),
      check: (resources) => {
        if (resources.unified) throw new GantryError("failed-precondition", "no v2 in this fake");
      },
      update: async (resources) => {
        await this.#ask("update cgroup");
        this.updates.push(resources);
        return async () => this.#ask("restore cgroup");
      },
    };
    const fake: Partial<CgroupManager> = {
      version: "v1",
      driver: "cgroupfs",
      containerPath: (parent, id) => `${parent}/${id}`,
      podPath: (parent, id) => `${parent}/${id}`,
      directoryPath: (path) => path,
      load: (path) => ({ ...cgroup, exists: () => this.foreignCgroups.has(path) }) as Cgroup,
      readStats: (paths) => Promise.resolve(this.#readings(paths)),
      readDetails: (paths) => Promise.resolve(this.#readings(paths) as Readings<CgroupDetails>),
      create: async () => {
        await this.#ask("create cgroup");
        return cgroup as Cgroup;
      },
    };
    return fake as CgroupManager;
  }
}
