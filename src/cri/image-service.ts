/** The table of ImageService. */
import type { ImageServiceHandlers } from "./generated/runtime/v1/ImageService.ts";
import type { RpcTable } from "./rpc-handler.ts";
import { imageFsInfo } from "./rpc/image-fs-info.ts";
import { imageStatus } from "./rpc/image-status.ts";
import { listImages } from "./rpc/list-images.ts";
import { pullImage } from "./rpc/pull-image.ts";
import { removeImage } from "./rpc/remove-image.ts";
import { streamImages } from "./rpc/stream-images.ts";

export const imageService = {
  ListImages: { unary: listImages },
  StreamImages: { stream: streamImages },
  ImageStatus: { unary: imageStatus },
  PullImage: { unary: pullImage },
  RemoveImage: { unary: removeImage },
  ImageFsInfo: { unary: imageFsInfo },
} as const satisfies RpcTable<ImageServiceHandlers>;
