/** What the pool and its workers say to each other. A job is one layer; its blocks go back to be filled again. */
import type { ErrorKind } from "../../base/errors.ts";
import type { Digest } from "../../base/digest.ts";
import type { Usage } from "../../snapshotter/snapshotter.ts";
import type { LayerUnpackRequest } from "./layer-unpack.ts";

export type ToWorker =
  | { type: "start"; job: number; request: LayerUnpackRequest }
  | { type: "block"; job: number; block: ArrayBuffer; length: number }
  | { type: "end"; job: number }
  /** Answered with "failed", after which nothing touches the directory. */
  | { type: "stop"; job: number };

export type FromWorker =
  | { type: "consumed"; job: number; block: ArrayBuffer }
  | { type: "done"; job: number; blobDigest: Digest; diffId: Digest; usage: Usage }
  | { type: "failed"; job: number; kind: ErrorKind; message: string };
