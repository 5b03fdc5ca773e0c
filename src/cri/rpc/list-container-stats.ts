/** ListContainerStats: use of resources by containers. */
import { errorKind } from "../../base/errors.ts";
import type { Container } from "../../engine/container.ts";
import type { Engine } from "../../engine/engine.ts";
import type { ContainerUsage } from "../../engine/resources.ts";
import { containerStatsFilter, containerStatsMessage } from "../convert-stats.ts";
import type { ContainerStats } from "../generated/runtime/v1/ContainerStats.ts";
import type { ListContainerStatsRequest__Output } from "../generated/runtime/v1/ListContainerStatsRequest.ts";
import type { ListContainerStatsResponse } from "../generated/runtime/v1/ListContainerStatsResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const listContainerStats: UnaryRpc<
  ListContainerStatsRequest__Output,
  ListContainerStatsResponse
> = async ({ engine }, request) => {
  const usages = await engine.listContainerStats(containerStatsFilter(request.filter));
  return { stats: withContainers(engine, usages) };
};

/** Puts each reading with its container, and leaves out those whose container was removed since it was taken. */
export function withContainers(engine: Engine, usages: readonly ContainerUsage[]): ContainerStats[] {
  const stats: ContainerStats[] = [];
  for (const usage of usages) {
    const container = present(engine, usage.containerId);
    if (container) stats.push(containerStatsMessage(container, usage));
  }
  return stats;
}

function present(engine: Engine, id: string): Container | undefined {
  try {
    return engine.container(id);
  } catch (error) {
    if (errorKind(error) === "not-found") return undefined;
    throw error;
  }
}
