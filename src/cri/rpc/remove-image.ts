/** RemoveImage: removes an image by any of its names, with all of them. Unknown images are no error. */
import { imageSpec } from "../convert-image.ts";
import type { RemoveImageRequest__Output } from "../generated/runtime/v1/RemoveImageRequest.ts";
import type { RemoveImageResponse } from "../generated/runtime/v1/RemoveImageResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const removeImage: UnaryRpc<RemoveImageRequest__Output, RemoveImageResponse> = async (
  { engine },
  request,
  signal,
) => {
  await engine.images.remove(imageSpec(request.image, "image").image, signal);
  return {};
};
