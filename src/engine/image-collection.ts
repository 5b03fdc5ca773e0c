/**
 * Freeing the disk of images: beside the calls, after each removal and once at the start, one collection at a time.
 */
import { errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { ImageService } from "../image/image.ts";

/** The same service, whose removals are followed by a collection. Starts a first one. */
export function collectingImages(images: ImageService, log: Logger): ImageService {
  let running: Promise<void> | undefined;
  let again = false;
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
    pull: (request, signal) => images.pull(request, signal),
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
