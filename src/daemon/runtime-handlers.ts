/**
 * From the settings of [runtimes] to the engine's handlers. Programs are asked once, at the start, what they can do; one
 * that is missing or does not answer keeps nothing but its own pods from running.
 */
import { release } from "node:os";
import { join } from "node:path";
import { errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { RuntimeHandlerInfo } from "../engine/engine.ts";
import { ExternalRuntime } from "../oci/external/external-runtime.ts";
import { kernelAtLeast } from "../oci/seccomp-profile-json.ts";
import type { Config } from "./config-schema.ts";

/** A program that takes longer to tell its features has none. */
const FEATURES_TIMEOUT_MS = 5_000;

/**
 * "" is the default handler; the others go by their names.
 * @param noUserNamespaces why the host has none for pods; undefined where it has.
 */
export async function runtimeHandlers(
  config: Pick<Config, "runtimes" | "runtime" | "state">,
  cgroupDriver: "cgroupfs" | "systemd",
  noUserNamespaces: string | undefined,
  log: Logger,
): Promise<RuntimeHandlerInfo[]> {
  if (noUserNamespaces !== undefined)
    log.warn({ reason: noUserNamespaces }, "pods cannot have user namespaces on this host");
  const byName = new Map<string, RuntimeHandlerInfo>();
  await Promise.all(
    Object.entries(config.runtimes).map(async ([name, settings]) => {
      const handler = await runtimeHandler(name, settings, config.state, cgroupDriver, log);
      byName.set(name, {
        ...handler,
        userNamespaces: handler.userNamespaces && noUserNamespaces === undefined,
      });
    }),
  );
  const handlers = Object.keys(config.runtimes).flatMap((name) => byName.get(name) ?? []);
  const standard = byName.get(config.runtime.default_handler);
  return standard ? [{ ...standard, name: "" }, ...handlers] : handlers;
}

async function runtimeHandler(
  name: string,
  settings: Config["runtimes"][string],
  state: string,
  cgroupDriver: "cgroupfs" | "systemd",
  log: Logger,
): Promise<RuntimeHandlerInfo> {
  const options = {
    podAnnotations: settings.pod_annotations,
    containerAnnotations: settings.container_annotations,
    privilegedWithoutHostDevices: settings.privileged_without_host_devices,
  };
  if (settings.type === "builtin")
    // mount_setattr(2) with AT_RECURSIVE came with Linux 5.12.
    return { name, options, recursiveReadOnlyMounts: kernelAtLeast(release(), "5.12"), userNamespaces: true };
  const external = new ExternalRuntime({
    name,
    binary: settings.binary,
    arguments: settings.arguments,
    environment: settings.environment,
    root: settings.root || join(state, "runtimes", name),
    systemdCgroup: cgroupDriver === "systemd",
    timeoutMs: settings.timeout_seconds * 1000,
    update: settings.update_command,
    kill: settings.kill_command,
  });
  const assumed = new Set<string>(settings.assume_features);
  try {
    const told = await external.features(AbortSignal.timeout(FEATURES_TIMEOUT_MS));
    const { ociVersionMax } = told;
    return {
      name,
      options,
      external,
      recursiveReadOnlyMounts: told.recursiveReadOnlyMounts || assumed.has("recursive_read_only_mounts"),
      userNamespaces: told.userNamespaces || assumed.has("user_namespaces"),
      ...(ociVersionMax !== undefined && { ociVersionMax }),
    };
  } catch (error) {
    log.warn({ handler: name, err: errorMessage(error) }, "runtime handler is not usable");
    return { name, options, external, recursiveReadOnlyMounts: false, userNamespaces: false };
  }
}
