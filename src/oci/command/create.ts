/** `create`: makes a container from a bundle; its process waits for `start`. `run` shares it. */
import { readFileSync, realpathSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { env, kill } from "node:process";
import { CleanupStack } from "../../base/cleanup.ts";
import { errnoCode, errorMessage, GantryError } from "../../base/errors.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import type { CgroupManager } from "../cgroup.ts";
import { withFollowedSources } from "../bind-sources.ts";
import { parseSpec } from "../config-check.ts";
import { planForContainer } from "../container-plan.ts";
import { prepareIntelRdt, removeIntelRdt } from "../intel-rdt.ts";
import type { Resources, Spec } from "../runtime-spec.ts";
import { Selinux } from "../selinux.ts";
import { DEFAULT_DEVICE_RULES } from "../spec-defaults.ts";
import { namesUnit } from "../systemd-names.ts";
import { containerCgroupPath, DEFAULT_CGROUP_PARENT } from "./cgroup-path.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import {
  fifoPath,
  forgetContainer,
  processStat,
  reserveContainer,
  storeContainer,
  withContainerLock,
  type StoredContainer,
} from "./container-state.ts";
import { storeUnfinished } from "./container-unfinished.ts";
import { CREATE_OPTIONS, type CreateOptions } from "./create-options.ts";
import { entriesWithClass, grantedProcess, netDeviceMoves } from "./launch-preparation.ts";
import { type HookState, runPoststopHooks } from "./hooks.ts";
import { launch, launchAndStay, type LaunchedChild, type LaunchOptions } from "./launcher.ts";
import { listenDescriptors, withListenDescriptors } from "./socket-activation.ts";
import { writePidFile } from "./pid-file.ts";

const REMOVE_TIMEOUT_MS = 10_000;

export const createCommand = declareCommand({
  arguments: ["id"],
  options: CREATE_OPTIONS,
  run: (context, [id], options) => create(context, id, options),
});

export async function create(context: CommandContext, id: string, options: CreateOptions): Promise<void> {
  const bundle = readBundle(options.bundle);
  const { spec } = bundle;
  if (spec.process?.terminal && !options.consoleSocket) {
    throw new GantryError("invalid-argument", "a terminal needs --console-socket, or run in the foreground");
  }
  if (!spec.process?.terminal && options.consoleSocket) {
    throw new GantryError("invalid-argument", "--console-socket needs process.terminal");
  }
  await makeContainer(context, id, bundle, options, (launchOptions) => ({ pid: launch(launchOptions) }));
}

/** As `create`, with the launcher staying as the process's parent. */
export async function createAttached(
  context: CommandContext,
  id: string,
  bundle: Bundle,
  options: CreateOptions,
): Promise<{ container: StoredContainer; child: LaunchedChild }> {
  const { container, launched } = await makeContainer(context, id, bundle, options, launchAndStay);
  return { container, child: launched };
}

async function makeContainer<T extends { pid: number }>(
  context: CommandContext,
  id: string,
  { bundle, spec, rootfs }: Bundle,
  options: CreateOptions,
  start: (launchOptions: LaunchOptions) => T,
): Promise<{ container: StoredContainer; launched: T }> {
  const { root, log } = context;
  await using undo = new CleanupStack((name, error) => log.warn(`${name}: ${errorMessage(error)}`));
  const state = hookState(spec, id, bundle);
  let hooked = false;
  undo.push("poststop hooks", async () => {
    // Others may have run, and these end every container.
    const last = { ...state, status: "stopped", pid: 0 };
    if (hooked) await runPoststopHooks(spec, last, log);
  });
  reserveContainer(root, id);
  undo.push("delete the state directory", () => forgetContainer(root, id));
  return await withContainerLock(root, id, async () => {
    const cgroupPath = containerCgroupPath(spec, id, context.systemdCgroup);
    const cgroups = createCgroupManager();
    const cgroup = await cgroups.create(cgroupPath, resourcesWithDevices(spec));
    undo.push("remove the cgroup", () => removeCgroup(cgroups, cgroupPath));
    storeUnfinished(root, id, { cgroupPath, intelRdt: spec.linux?.intelRdt });
    prepareIntelRdt(spec.linux?.intelRdt, id);
    undo.push("remove the resctrl class", () => removeIntelRdt(spec.linux?.intelRdt, id));

    const { consoleAddon } = await import("../../native/console.ts");
    const fifo = fifoPath(root, id);
    consoleAddon.makeFifo(fifo, 0o600);
    const listening = listenDescriptors();
    const preserveFds = listening + options.preserveFds;
    const asked = env["NOTIFY_SOCKET"]
      ? (await import("./notify-socket.ts")).withNotifySocket(root, id, spec)
      : spec;
    const process = asked.process && withListenDescriptors(grantedProcess(asked.process, log), listening);
    const plan = planForContainer(withFollowedSources(process ? { ...asked, process } : asked, bundle), {
      rootfs: { type: "bind", source: rootfs, readonly: false },
      cgroup: entriesWithClass(cgroup.entries(), spec, id),
      netDevices: await netDeviceMoves(spec),
      gate: { fifo },
      hostPhase: losesHost(spec),
      // Without a process there is a container all the same, which ends when it is started.
      command: process ? "exec" : "end",
      noPivot: options.noPivot,
      preserveFds,
      hookState: state,
      ...mountLabel(spec),
      ...(hasHooks(spec) ? { rootfsTarget: rootfs } : {}),
      ...(!options.noNewKeyring ? { keyring: `_ses.${id}` } : {}),
    });
    hooked = true;
    const launched = start({
      plan,
      preserveFds,
      ...(spec.process?.terminal && options.consoleSocket
        ? { consoleSocket: resolve(options.consoleSocket) }
        : {}),
    });
    const { pid } = launched;
    undo.push("kill the process", () => {
      kill(pid, "SIGKILL");
    });
    await cgroup.entered();
    const startTime = processStat(pid)?.startTime ?? 0;
    const created = new Date().toISOString();
    const container = {
      id,
      bundle,
      rootfs,
      pid,
      startTime,
      created,
      cgroupPath,
      noPivot: options.noPivot,
      spec,
    };
    if (options.pidFile) writePidFile(options.pidFile, pid);
    storeContainer(root, container);
    undo.disarm();
    return { container, launched };
  });
}

/** The label where the kernel has SELinux; elsewhere no filesystem would take it, and there is nothing to keep apart. */
function mountLabel({ linux }: Spec): { mountLabel?: string } {
  return linux?.mountLabel && new Selinux().enabled ? { mountLabel: linux.mountLabel } : {};
}

/** A user namespace's root reaches neither the state directory nor what is below other closed directories. */
function losesHost({ linux }: Spec): boolean {
  const namespaces = linux?.namespaces ?? [];
  const ownMounts = namespaces.some(({ type, path }) => type === "mount" && !path);
  return ownMounts && namespaces.some(({ type }) => type === "user");
}

/** Kills what is in the group and deletes it, with the default parent when that was its last. */
export async function removeCgroup(cgroups: CgroupManager, path: string): Promise<void> {
  const group = cgroups.load(path);
  // Most are empty; what is needed to wait for others takes a while to load.
  if (namesUnit(path) || !(await group.removeIfEmpty()))
    await group.remove(AbortSignal.timeout(REMOVE_TIMEOUT_MS));
  if (path.startsWith(`${DEFAULT_CGROUP_PARENT}/`)) await cgroups.load(DEFAULT_CGROUP_PARENT).removeIfEmpty();
}

interface Bundle {
  /** Absolute path. */
  bundle: string;
  spec: Spec;
  /** Absolute path, its links followed. */
  rootfs: string;
}

/** The bundle with its configuration, checked. @throws GantryError not-found, invalid-argument. */
export function readBundle(bundlePath: string): Bundle {
  const bundle = resolve(bundlePath);
  const configPath = join(bundle, "config.json");
  let text: string;
  try {
    text = readFileSync(configPath, "utf8");
  } catch (error) {
    const kind = errnoCode(error) === "ENOENT" ? "not-found" : "invalid-argument";
    throw new GantryError(kind, `open ${configPath}: ${errnoCode(error) ?? String(error)}`);
  }
  const spec = parseSpec(text, "config.json");
  const rootfsPath = resolve(bundle, spec.root?.path ?? "");
  try {
    const rootfs = realpathSync(rootfsPath);
    if (!statSync(rootfs).isDirectory())
      throw new GantryError("invalid-argument", `config.json: root.path: ${rootfs} is not a directory`);
    return { bundle, spec, rootfs };
  } catch (error) {
    if (error instanceof GantryError) throw error;
    throw new GantryError(
      "invalid-argument",
      `config.json: root.path: ${rootfsPath}: ${errnoCode(error) ?? String(error)}`,
    );
  }
}

/** Every container has the standard devices, whatever its own list says; the list comes first, as it may deny all. */
function resourcesWithDevices(spec: Spec): Resources {
  const resources = spec.linux?.resources ?? {};
  return { ...resources, devices: [...(resources.devices ?? []), ...DEFAULT_DEVICE_RULES] };
}

function hasHooks(spec: Spec): boolean {
  return Object.values(spec.hooks ?? {}).some((list) => Array.isArray(list) && list.length > 0);
}

function hookState(spec: Spec, id: string, bundle: string): HookState & Record<string, unknown> {
  return {
    ociVersion: spec.ociVersion,
    id,
    bundle,
    ...(spec.annotations ? { annotations: spec.annotations } : {}),
  };
}
