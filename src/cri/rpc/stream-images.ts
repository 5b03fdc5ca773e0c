/** StreamImages: the list in several messages. */
import { batches } from "../batch.ts";
import { imageMessage } from "../convert-image.ts";
import type { StreamImagesRequest__Output } from "../generated/runtime/v1/StreamImagesRequest.ts";
import type { StreamImagesResponse } from "../generated/runtime/v1/StreamImagesResponse.ts";
import type { StreamRpc } from "../rpc-handler.ts";
import { filteredImages } from "./list-images.ts";

export const streamImages: StreamRpc<StreamImagesRequest__Output, StreamImagesResponse> = function* (
  { engine },
  request,
) {
  for (const batch of batches(filteredImages(engine.images, request.filter), imageMessage))
    yield { images: batch };
};
