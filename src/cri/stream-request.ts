/** What Exec and Attach check alike: the streams asked for, and the container. */
import { GantryError } from "../base/errors.ts";
import type { Container } from "../engine/container.ts";
import type { Engine } from "../engine/engine.ts";
import { invalid, nonEmpty } from "./request-field.ts";

export interface RequestedStreams {
  tty: boolean;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

/** @throws invalid-argument for no stream at all, and for a standard error beside a terminal, which has none. */
export function checkStreams({ tty, stdin, stdout, stderr }: RequestedStreams): RequestedStreams {
  if (!stdin && !stdout && !stderr) throw invalid("stdin, stdout and stderr", "are all false");
  if (tty && stderr) throw invalid("stderr", "is true, and with a terminal must be false");
  return { tty, stdin, stdout, stderr };
}

/** @throws not-found, and failed-precondition for a container that does not run. */
export function attachableContainer(engine: Engine, containerId: string): Container {
  const container = engine.container(nonEmpty(containerId, "container_id"));
  if (container.state !== "running")
    throw new GantryError(
      "failed-precondition",
      `container "${container.id}" is ${container.state}, not running`,
    );
  return container;
}
