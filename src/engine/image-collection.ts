/**
 * Freeing the disk of images: beside the calls, one collection at a time: at the start, after each removal, and some
 * time after a pull that failed, whose finished layers wait that long for it to be repeated.
 */
import { errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { ImageService } from "../image/image.ts";

/** Longer than the kubelet ever waits before it repeats a pull (five minutes). */
const FAILED_PULL_KEPT_MS = 600_000;

/** The same service with these collections. Starts a first one. */
export function collectingImages(
  images: ImageService,
  log: Logger,
  failedPullKeptMs = FAILED_PULL_KEPT_MS,
): ImageService {
  let running: Promise<void> | undefined;
  let again = false;
  let later: NodeJS.Timeout | undefined;
  const collect = (): void => {
    if (running) {
      again = true;
      return;
    }
    running = images
      .collect()
      .catch((error: unknown) => log.error({ err: errorMessage(error) }, "collecting images failed"))
      .finally(() => {
        running = undefined;
        if (!again) return;
        again = false;
        collect();
      });
  };
  collect();
  return {
    pull: async (request, signal) => {
      try {
        return await images.pull(request, signal);
      } catch (error) {
        clearTimeout(later);
        later = setTimeout(collect, failedPullKeptMs).unref();
        throw error;
      }
    },
    get: (nameOrId) => images.get(nameOrId),
    list: () => images.list(),
    usage: () => images.usage(),
    rawConfig: (id) => images.rawConfig(id),
    remove: async (nameOrId, signal) => {
      await images.remove(nameOrId, signal);
      collect();
    },
    collect: () => {
      collect();
      return running ?? Promise.resolve();
    },
  };
}
