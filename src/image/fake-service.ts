/** An image service on fakes, in a directory of its own, for tests of pulling. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../base/logger.ts";
import { openRecordStore } from "../store/record-store.ts";
import { FakeSnapshotter, FakeUnpacker } from "./fake-layers.ts";
import { createImageService, type ClosableImageService, type ImageServiceOptions } from "./image-service.ts";

export interface TestService {
  images: ClosableImageService;
  snapshotter: FakeSnapshotter;
  unpacker: FakeUnpacker;
  directory: string;
  /** A service of a restarted process over the same files; the snapshotter remembers, as a real one does. */
  reopen(): ClosableImageService;
  close(): Promise<void>;
}

/** Short waits and few attempts, unless the options say otherwise. */
export function openTestService(options: Partial<ImageServiceOptions> = {}): TestService {
  const directory = mkdtempSync(join(tmpdir(), "gantry-images-"));
  const snapshotter = new FakeSnapshotter(join(directory, "layers"));
  const unpacker = new FakeUnpacker();
  const opened: (() => Promise<void> | void)[] = [];
  const open = (): ClosableImageService => {
    const store = openRecordStore(join(directory, "images.db"), "power-loss");
    const images = createImageService({
      directory: join(directory, "content"),
      store,
      snapshotter,
      unpacker,
      log: silentLogger,
      hostsDirectories: [join(directory, "certs.d")],
      platform: { os: "linux", architecture: "amd64", variant: "" },
      attempts: 3,
      retryDelayMs: 1,
      ...options,
    });
    opened.push(
      async () => await images.close(),
      () => store.close(),
    );
    return images;
  };
  let images: ClosableImageService;
  try {
    images = open();
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  return {
    images,
    snapshotter,
    unpacker,
    directory,
    reopen: open,
    close: async () => {
      for (const close of opened) await close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
