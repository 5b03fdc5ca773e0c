/**
 * Attach: joins the streams of a running container, beside its log and any others that have joined. A container's
 * standard input ends with the first client's if it was created with stdinOnce, and else never.
 */
import { wrapError } from "../base/errors.ts";
import type { EngineContext } from "./engine-context.ts";
import type { ProcessSession } from "./engine.ts";

export async function attach(
  context: EngineContext,
  id: string,
  signal: AbortSignal,
): Promise<ProcessSession> {
  const { entry, shim } = context.containers.runningShim(id);
  const { container } = entry;
  try {
    const session = await shim.attach(signal);
    return container.config.tty ? redrawing(session) : session;
  } catch (error) {
    throw wrapError(`attach to container "${container.id}"`, error);
  }
}

/**
 * A program draws its terminal anew when the size changes, and a client that joins sees nothing before that. So the
 * first size is set by way of another one.
 */
function redrawing(session: ProcessSession): ProcessSession {
  let first = true;
  return {
    ...session,
    resize: async (width, height) => {
      if (first) await session.resize(width, height > 1 ? height - 1 : height + 1);
      first = false;
      await session.resize(width, height);
    },
  };
}
