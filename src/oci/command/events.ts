/**
 * `events`: the counters of a container as JSON, a line each, now (`--stats`) or again and again until it stops, and a
 * line for each time that the kernel kills in it for want of memory.
 *
 *   {"type":"stats","id":"web","data":{…}}
 *   {"type":"oom","id":"web"}
 *
 * The kernel's count of such kills is looked at every OOM_LOOK_MS: v1 tells of a new one only by an eventfd, and its
 * count tells how many there were.
 */
import { sleep } from "../../base/abort.ts";
import { errorKind, errorMessage, GantryError } from "../../base/errors.ts";
import { stringifyExactJson } from "../exact-json.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import { containerStatus, isAlive, loadContainer } from "./container-state.ts";
import { durationMs } from "./duration.ts";
import { eventStats, oomKills } from "./event-stats.ts";
import { print as printText } from "./output.ts";

const OOM_LOOK_MS = 100;

export const eventsCommand = declareCommand({
  arguments: ["id"],
  options: {
    interval: { kind: "value", value: "duration", default: "5s", help: `time between counters, as "1m30s"` },
    stats: { kind: "flag", help: "print the counters once" },
  },
  run: (context, [id], { interval, stats }) => events(context, id, durationMs(interval), stats),
});

export async function events(
  context: CommandContext,
  id: string,
  intervalMs: number,
  once: boolean,
): Promise<void> {
  const container = loadContainer(context.root, id);
  if (!(intervalMs > 0))
    throw new GantryError("invalid-argument", "duration interval must be greater than 0");
  if (containerStatus(context.root, container) === "stopped")
    throw new GantryError("failed-precondition", `container with id ${id} is not running`);
  const { cgroupPath } = container;
  const print = (event: Record<string, unknown>): void =>
    printText(`${stringifyExactJson(event)}
`);
  if (once) {
    print({ type: "stats", id, data: eventStats(cgroupPath) });
    return;
  }
  let kills = oomKills(cgroupPath);
  let next = Date.now() + intervalMs;
  for (;;) {
    const alive = isAlive(container);
    const now = oomKills(cgroupPath);
    for (; kills < now; kills++) print({ type: "oom", id });
    if (!alive) return;
    if (Date.now() >= next) {
      next += intervalMs;
      try {
        print({ type: "stats", id, data: eventStats(cgroupPath) });
      } catch (error) {
        if (errorKind(error) === "not-found") return;
        context.log.warn(errorMessage(error));
      }
    }
    await sleep(Math.max(1, Math.min(OOM_LOOK_MS, next - Date.now())));
  }
}
