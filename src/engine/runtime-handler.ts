/**
 * Which handler runs a pod, and what its settings mean for containers. A container that an external runtime runs keeps
 * the handler's name in its record, as the default handler may be another one after a restart.
 */
import { GantryError } from "../base/errors.ts";
import type { ExternalRuntime } from "../oci/external/external-runtime.ts";
import type { Container, ContainerConfig } from "./container.ts";
import type { EngineContext } from "./engine-context.ts";
import type { RuntimeHandlerInfo } from "./engine.ts";
import type { PodSandbox } from "./pod-sandbox.ts";

/** @throws not-found for a handler that the configuration does not have. */
export function runtimeHandler(
  { handlers }: Pick<EngineContext, "handlers">,
  name: string,
): RuntimeHandlerInfo {
  const handler = handlers.find((candidate) => candidate.name === name);
  if (handler) return handler;
  throw new GantryError("not-found", `runtime handler "${name}" is not configured`);
}

type ExternalHandler = RuntimeHandlerInfo & { external: ExternalRuntime };

/** The handler whose program runs this container; undefined for our own executor, and where it is configured no more. */
export function findExternalHandler(
  { handlers }: Pick<EngineContext, "handlers">,
  { externalHandler: name }: Pick<Container, "externalHandler">,
): ExternalHandler | undefined {
  if (name === undefined) return undefined;
  return handlers.find((handler): handler is ExternalHandler => handler.external?.options.name === name);
}

/** The same. @throws failed-precondition where it is configured no more. */
export function externalHandler(
  context: Pick<EngineContext, "handlers">,
  container: Pick<Container, "id" | "externalHandler">,
): ExternalHandler {
  const handler = findExternalHandler(context, container);
  if (handler) return handler;
  throw new GantryError(
    "failed-precondition",
    `container "${container.id}": its runtime handler "${container.externalHandler}" is configured no more`,
  );
}

/** Ours; runtimes trust them. */
const RESERVED = /^(?:io\.kubernetes\.cri(?:-o)?\.|org\.systemd\.property\.)/;

/**
 * The annotations of the OCI configuration: of the pod's and the container's those that the handler lets through. By
 * default none: runtimes give some of them power over the host (CVE-2023-6476, CVE-2024-3154).
 */
export function allowedAnnotations(
  handler: Pick<RuntimeHandlerInfo, "options">,
  sandbox: Pick<PodSandbox, "config">,
  config: ContainerConfig,
): Record<string, string> {
  const { podAnnotations = [], containerAnnotations = [] } = handler.options ?? {};
  return {
    ...selected(sandbox.config.annotations, podAnnotations),
    ...selected(config.annotations, containerAnnotations),
  };
}

/** A reserved key has to be named in full, or by the whole of what makes it one. */
function selected(annotations: Record<string, string>, patterns: readonly string[]): Record<string, string> {
  const matches = (key: string, pattern: string): boolean => {
    if (!pattern.endsWith("*")) return key === pattern;
    const start = pattern.slice(0, -1);
    return key.startsWith(start) && (!RESERVED.test(key) || RESERVED.test(start));
  };
  return Object.fromEntries(
    Object.entries(annotations).filter(([key]) => patterns.some((pattern) => matches(key, pattern))),
  );
}
