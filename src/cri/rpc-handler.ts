/**
 * What a handler of one RPC is, and the type of a whole service's table of them.
 *
 * A handler checks the request, turns it into the engine's types, makes one call and turns the result back. It
 * throws GantryErrors and knows nothing of gRPC; src/cri/dispatch.ts puts it behind the wire.
 */
import type { handleServerStreamingCall, handleUnaryCall } from "@grpc/grpc-js";
import type { Engine } from "../engine/engine.ts";
import type { StreamingServer } from "./streaming/streaming-server.ts";
import type { EncodedMessage } from "./protocol.ts";

/** What every handler may use. */
export interface RpcContext {
  readonly engine: Engine;
  readonly streaming: StreamingServer;
  /** Version of Gantry. */
  readonly version: string;
}

/** @param signal aborts when the client has gone, its deadline has passed or the daemon stops. */
export type UnaryRpc<Request, Response> = (
  context: RpcContext,
  request: Request,
  signal: AbortSignal,
) => Response | EncodedMessage | Promise<Response | EncodedMessage>;

/**
 * Each item is one message; the stream ends with the iteration. One that is `endless` in the table ends only when its
 * signal aborts: a daemon that stops does not wait for it.
 */
export type StreamRpc<Request, Response> = (
  context: RpcContext,
  request: Request,
  signal: AbortSignal,
) => Iterable<Response | EncodedMessage> | AsyncIterable<Response | EncodedMessage>;

/** Stands in a table where an RPC is not served: it answers UNIMPLEMENTED with the RPC's name. */
export const UNIMPLEMENTED = Symbol("unimplemented");

/**
 * One entry for each RPC of a service, from the generated handler interface. An RPC that is missing, or that has the
 * wrong types, does not compile.
 */
export type RpcTable<Handlers> = {
  readonly [Rpc in keyof Handlers as string extends Rpc ? never : Rpc]:
    | typeof UNIMPLEMENTED
    | (Handlers[Rpc] extends handleUnaryCall<infer Request, infer Response>
        ? { unary: UnaryRpc<Request, Response> }
        : Handlers[Rpc] extends handleServerStreamingCall<infer Request, infer Response>
          ? { stream: StreamRpc<Request, Response>; endless?: true }
          : never);
};
