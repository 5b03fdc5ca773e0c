/**
 * A container that an external runtime runs: its bundle, the plan that has the runtime make it, and its clean-up. The
 * shim is the same as any container's, and so are log, attach, exit and statistics.
 *
 *   STATE/bundles/ID/  config.json, log.json, pid, rootfs (mounted for the runtime only), mounts/N, exec-*
 *
 * The bundle is there from before the start until nothing of the container is left in the runtime. So it tells, after a
 * crash at any point, that the runtime is to be asked to delete the container; it may not know it.
 */
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errorKind, errorMessage, GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { stringifyExactJson } from "../oci/exact-json.ts";
import { BUNDLE, externalConfig } from "../oci/external/external-bundle.ts";
import { runtimeLogMessage } from "../oci/external/external-log.ts";
import { consolePath, externalExecPlan, externalInitPlan } from "../oci/external/external-plan.ts";
import { removeUnmounted } from "../oci/external/external-state.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import type { Shim, ShimExec } from "../shim/shim.ts";
import { joinedSpec } from "./container-plan.ts";
import type { Container } from "./container.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { imageVolumeMounts } from "./image-volume.ts";
import { externalHandler } from "./runtime-handler.ts";

export function bundlesDirectory(context: Pick<EngineContext, "stateDirectory">): string {
  return join(context.stateDirectory, "bundles");
}

function bundlePath(context: Pick<EngineContext, "stateDirectory">, id: string): string {
  return join(bundlesDirectory(context), id);
}

/** The words of containerd and of CRI-O for runtimes that have a sandbox of their own. */
function identityAnnotations({ podSandboxId, podMetadata, config }: Container): Record<string, string> {
  return {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-id": podSandboxId,
    "io.kubernetes.cri.sandbox-name": podMetadata.name,
    "io.kubernetes.cri.sandbox-namespace": podMetadata.namespace,
    "io.kubernetes.cri.sandbox-uid": podMetadata.uid,
    "io.kubernetes.cri.container-name": config.metadata.name,
    "io.kubernetes.cri-o.ContainerType": "container",
    "io.kubernetes.cri-o.SandboxID": podSandboxId,
  };
}

/** Writes the bundle; the plan that makes the container out of it. */
export async function externalPlan(
  context: EngineContext,
  entry: ContainerEntry,
  spec: Spec,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { container } = entry;
  const { external, ociVersionMax } = externalHandler(context, container);
  external.check();
  refuseBytes(spec);
  // One that was cut off may have left something.
  await deleteExternal(context, entry);
  const bundle = bundlePath(context, container.id);
  const joined = await joinedSpec(context, entry, spec, signal);
  const annotations = identityAnnotations(container);
  const { spec: config, prepared } = externalConfig(joined, { bundle, ociVersionMax, annotations });
  for (const name of [BUNDLE.rootfs, BUNDLE.mounts]) await mkdir(join(bundle, name), { recursive: true });
  // In a user namespace the runtime reaches the bundle as nobody, through directories that it cannot list.
  if (joined.linux?.namespaces?.some(({ type }) => type === "user")) await openToOthers(context, bundle);
  await mkdir(external.options.root, { recursive: true, mode: 0o700 });
  await writeFile(join(bundle, BUNDLE.config), stringifyExactJson(config), { mode: 0o600 });
  failpoint("external:bundle");
  const terminal = config.process?.terminal ?? false;
  const [pidFile, log] = [join(bundle, BUNDLE.pid), join(bundle, BUNDLE.log)];
  const socket = terminal ? ["--console-socket", consolePath(bundle, BUNDLE.console)] : [];
  const create = ["create", "--bundle", bundle, "--pid-file", pidFile, ...socket, container.id];
  return externalInitPlan(
    external,
    config,
    {
      rootfs: context.snapshotter.mount(container.id),
      target: join(bundle, BUNDLE.rootfs),
      directories: container.missingVolumes ?? [],
      prepared,
      images: imageVolumeMounts(context, container),
      label: config.linux?.mountLabel ?? "",
    },
    {
      commands: [
        { args: create, ...(terminal && { console: BUNDLE.console }) },
        { args: ["start", container.id] },
      ],
      directory: bundle,
      log,
      pidFile,
      terminal,
    },
  );
}

/** @throws failed-precondition where a directory above our own keeps them out. */
async function openToOthers(context: EngineContext, bundle: string): Promise<void> {
  for (const path of [context.stateDirectory, bundlesDirectory(context), bundle]) await chmod(path, 0o711);
  for (let path = dirname(context.stateDirectory); path !== "/"; path = dirname(path))
    if (((await stat(path)).mode & 0o001) === 0)
      throw new GantryError(
        "failed-precondition",
        `the state directory is below ${path}, where root of a user namespace may not pass: no external runtime can have one`,
      );
}

/** Values that are no UTF-8 are kept as lone surrogates, which a JSON file cannot carry. */
function refuseBytes({ process }: Spec): void {
  for (const value of [...(process?.env ?? []), ...(process?.args ?? [])])
    if (!value.isWellFormed())
      throw new GantryError(
        "invalid-argument",
        "environment and arguments must be UTF-8 for an external runtime",
      );
}

/** A failed start or exec, with what the runtime has said of it in place of its exit status. */
async function explained(error: unknown, log: string, what: string): Promise<unknown> {
  const said = await runtimeLogMessage(log);
  if (said === undefined || !(error instanceof GantryError)) return error;
  if (error.kind === "deadline-exceeded" || error.kind === "cancelled") return error;
  return new GantryError(errorKind(error), `${what}: ${said}`, { cause: error });
}

/** As `launch`, with the runtime's own words for a failure. */
export async function explainingStart(
  context: EngineContext,
  { container }: ContainerEntry,
  launch: Promise<Shim>,
): Promise<Shim> {
  try {
    return await launch;
  } catch (error) {
    const { external } = externalHandler(context, container);
    throw await explained(error, join(bundlePath(context, container.id), BUNDLE.log), external.program);
  }
}

export interface ExternalExec {
  args: string[];
  terminal: boolean;
  stdin: boolean;
}

/** Has the runtime execute a command in its container. */
export async function execExternal(
  context: EngineContext,
  { container }: ContainerEntry,
  shim: Shim,
  spec: Spec,
  { args, terminal, stdin }: ExternalExec,
  signal: AbortSignal,
): Promise<ShimExec> {
  const { external } = externalHandler(context, container);
  if (!spec.process) throw new GantryError("internal", `container "${container.id}" has no process`);
  const process = { ...spec.process, args, terminal };
  refuseBytes({ ...spec, process });
  const directory = await mkdtemp(join(bundlePath(context, container.id), "exec-"));
  const [pidFile, log] = [join(directory, BUNDLE.pid), join(directory, BUNDLE.log)];
  try {
    const path = join(directory, "process.json");
    await writeFile(path, stringifyExactJson(process), { mode: 0o600 });
    const socket = terminal ? ["--console-socket", consolePath(directory, BUNDLE.console)] : [];
    const command = ["exec", "--process", path, "--detach", "--pid-file", pidFile, ...socket, container.id];
    const plan = externalExecPlan(external, {
      commands: [{ args: command, ...(terminal && { console: BUNDLE.console }) }],
      directory,
      log,
      pidFile,
      terminal,
    });
    return await shim.exec({ plan, terminal, stdin, killOnDisconnect: true }, signal);
  } catch (error) {
    throw await explained(error, log, external.program);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Ends the container in its runtime, and deletes its bundle. What the runtime does not delete is told; nothing of it runs
 * on, as the control group has been killed or will be. Idempotent.
 */
export async function deleteExternal(context: EngineContext, { container }: ContainerEntry): Promise<void> {
  if (container.externalHandler === undefined) return;
  const bundle = bundlePath(context, container.id);
  if (!existsSync(bundle)) return;
  const told =
    (what: string) =>
    (error: unknown): void =>
      context.log.warn({ containerId: container.id, err: errorMessage(error) }, what);
  try {
    await externalHandler(context, container).external.delete(container.id);
  } catch (error) {
    told("the runtime has not deleted a container")(error);
  }
  failpoint("external:delete");
  // The state of a handler that is configured no more, where it is by default.
  const state = join(context.stateDirectory, "runtimes", container.externalHandler, container.id);
  for (const path of [state, bundle])
    await removeUnmounted(path).catch(told("a directory of a container stays behind"));
}

/** Deletes a bundle that belongs to no record. */
export async function discardBundle(context: EngineContext, id: string): Promise<void> {
  for (const { external } of context.handlers)
    if (external && existsSync(join(external.options.root, id)))
      await external.delete(id).catch((error: unknown) => {
        throw wrapError(`bundle "${id}"`, error);
      });
  await removeUnmounted(bundlePath(context, id));
}
