/** ListImages: all, or the one that the filter names. */
import type { ImageRecord, ImageService } from "../../engine/engine.ts";
import { imageMessage } from "../convert-image.ts";
import type { ImageFilter__Output } from "../generated/runtime/v1/ImageFilter.ts";
import type { ListImagesRequest__Output } from "../generated/runtime/v1/ListImagesRequest.ts";
import type { ListImagesResponse } from "../generated/runtime/v1/ListImagesResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const listImages: UnaryRpc<ListImagesRequest__Output, ListImagesResponse> = ({ engine }, request) => ({
  images: filteredImages(engine.images, request.filter).map(imageMessage),
});

export function filteredImages(images: ImageService, filter: ImageFilter__Output | null): ImageRecord[] {
  const name = filter?.image?.image ?? "";
  if (name === "") return images.list();
  const image = images.get(name);
  return image ? [image] : [];
}
