/** ImageFsInfo: what the image store takes. Writable layers are on the same filesystem. */
import { filesystemUsageMessage } from "../convert-stats.ts";
import type { ImageFsInfoRequest__Output } from "../generated/runtime/v1/ImageFsInfoRequest.ts";
import type { ImageFsInfoResponse } from "../generated/runtime/v1/ImageFsInfoResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const imageFsInfo: UnaryRpc<ImageFsInfoRequest__Output, ImageFsInfoResponse> = async ({ engine }) => {
  const { directory, usage, timestampNs } = await engine.images.usage();
  const filesystem = filesystemUsageMessage(directory, usage, timestampNs);
  return { image_filesystems: [filesystem], container_filesystems: [filesystem] };
};
