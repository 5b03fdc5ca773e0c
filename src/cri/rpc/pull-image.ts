/** PullImage: fetches an image and answers its id. */
import { imageSpec, registryAuth } from "../convert-image.ts";
import type { PullImageRequest__Output } from "../generated/runtime/v1/PullImageRequest.ts";
import type { PullImageResponse } from "../generated/runtime/v1/PullImageResponse.ts";
import { invalid } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const pullImage: UnaryRpc<PullImageRequest__Output, PullImageResponse> = async (
  { engine },
  request,
  signal,
) => {
  const { image: reference, runtimeHandler } = imageSpec(request.image, "image");
  if (runtimeHandler !== "" && !engine.runtimeHandlers().some(({ name }) => name === runtimeHandler))
    throw invalid("image.runtime_handler", `${JSON.stringify(runtimeHandler)} is not configured`);
  const auth = registryAuth(request.auth);
  const image = await engine.images.pull({ reference, ...(auth ? { auth } : {}) }, signal);
  return { image_ref: image.id };
};
