/** Listing pods and containers by filter. A filter's id may be a prefix; an unknown one gives an empty list. */
import type { Container, ContainerFilter } from "./container.ts";
import type { EngineContext } from "./engine-context.ts";
import { labelsMatch } from "./identifier-index.ts";
import type { PodSandbox, PodSandboxFilter } from "./pod-sandbox.ts";

export function listContainers(context: EngineContext, filter: ContainerFilter): Container[] {
  const found: Container[] = [];
  const only = filter.id ? context.containers.find(filter.id) : undefined;
  if (filter.id && !only) return found;
  const pod = filter.podSandboxId ? context.pods.find(filter.podSandboxId)?.sandbox.id : undefined;
  if (filter.podSandboxId && !pod) return found;
  const candidates = only ? [only] : pod ? context.containers.ofPod(pod) : context.containers.all();
  for (const { container } of candidates) {
    if (pod && container.podSandboxId !== pod) continue;
    if (filter.state && container.state !== filter.state) continue;
    if (labelsMatch(container.config.labels, filter.labels)) found.push(container);
  }
  return found;
}

export function listPodSandboxes(context: EngineContext, filter: PodSandboxFilter): PodSandbox[] {
  const found: PodSandbox[] = [];
  const only = filter.id ? context.pods.find(filter.id) : undefined;
  if (filter.id && !only) return found;
  for (const { sandbox } of only ? [only] : context.pods.all()) {
    if (filter.state && sandbox.state !== filter.state) continue;
    if (labelsMatch(sandbox.config.labels, filter.labels)) found.push(sandbox);
  }
  return found;
}
