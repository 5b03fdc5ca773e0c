/** ImageStatus: one image; an unknown one gives a reply without an image, not an error. */
import type { ImageRecord, ImageService } from "../../engine/engine.ts";
import { imageMessage, imageSpec } from "../convert-image.ts";
import type { ImageStatusRequest__Output } from "../generated/runtime/v1/ImageStatusRequest.ts";
import type { ImageStatusResponse } from "../generated/runtime/v1/ImageStatusResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { singleInfo } from "../verbose-info.ts";

export const imageStatus: UnaryRpc<ImageStatusRequest__Output, ImageStatusResponse> = async (
  { engine },
  request,
) => {
  const image = engine.images.get(imageSpec(request.image, "image").image);
  if (!image) return {};
  return {
    image: imageMessage(image),
    ...(request.verbose ? { info: singleInfo(await verboseImage(engine.images, image)) } : {}),
  };
};

/** `imageSpec` is the image's own configuration, as in the registry. */
async function verboseImage(images: ImageService, image: ImageRecord): Promise<Record<string, unknown>> {
  const raw = await images.rawConfig(image.id);
  return {
    chainID: image.chainId ?? "",
    manifestDigest: image.manifestDigest,
    mediaType: image.mediaType,
    diffIDs: image.diffIds,
    imageSpec: raw === undefined ? undefined : (JSON.parse(raw) as unknown),
  };
}
