/**
 * Puts handlers behind the wire. One wrapper does for every RPC what none should do itself: the client's deadline
 * and cancellation as an AbortSignal, errors as status codes, the log line.
 */
import {
  Metadata,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { abortable } from "../base/abort.ts";
import { GantryError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { logCall } from "./call-log.ts";
import { UNIMPLEMENTED, type RpcContext, type StreamRpc, type UnaryRpc } from "./rpc-handler.ts";
import type { RunningCalls } from "./running-calls.ts";
import { rpcStatus } from "./status-code.ts";

/** A handler whose types have been checked in its table, and matter no more. */
export type AnyRpc =
  | typeof UNIMPLEMENTED
  | { unary: UnaryRpc<never, object> }
  | { stream: StreamRpc<never, object>; endless?: true };

export interface Dispatch {
  readonly context: RpcContext;
  readonly log: Logger;
  readonly calls: RunningCalls;
}

/** The implementation of one RPC as grpc-js wants it. */
export function implement(
  dispatch: Dispatch,
  rpc: string,
  handler: AnyRpc,
  responseStream: boolean,
): handleUnaryCall<object, object> | handleServerStreamingCall<object, object> {
  if (handler === UNIMPLEMENTED) {
    const refuse = (): never => {
      throw new GantryError("unimplemented", `${rpc} is not implemented by this version of gantry`);
    };
    return responseStream ? serveStream(dispatch, rpc, refuse) : serveUnary(dispatch, rpc, refuse);
  }
  return "unary" in handler
    ? serveUnary(dispatch, rpc, handler.unary as UnaryRpc<object, object>)
    : serveStream(dispatch, rpc, handler.stream as StreamRpc<object, object>, handler.endless);
}

function serveUnary(
  { context, log, calls }: Dispatch,
  rpc: string,
  handler: UnaryRpc<object, object>,
): handleUnaryCall<object, object> {
  const answer = async (
    call: ServerUnaryCall<object, object>,
    callback: sendUnaryData<object>,
  ): Promise<void> => {
    const running = calls.begin(call);
    const { request } = call;
    try {
      running.signal.throwIfAborted();
      const response = await handler(context, request, running.signal);
      callback(null, response);
      logCall(log, rpc, { request, response }, running.elapsedMs(), undefined);
    } catch (error) {
      const status = rpcStatus(error, running.signal);
      callback(status);
      logCall(log, rpc, { request }, running.elapsedMs(), { status, error });
    } finally {
      running.end();
    }
  };
  return (call, callback) => void answer(call, callback);
}

function serveStream(
  { context, log, calls }: Dispatch,
  rpc: string,
  handler: StreamRpc<object, object>,
  endless = false,
): handleServerStreamingCall<object, object> {
  const answer = async (call: ServerWritableStream<object, object>): Promise<void> => {
    const running = calls.begin(call, { endless });
    const { request } = call;
    try {
      running.signal.throwIfAborted();
      // Tells a client that waits for a first event that it is being served: what comes now it will hear of.
      if (endless) call.sendMetadata(new Metadata());
      for await (const item of handler(context, request, running.signal)) {
        running.signal.throwIfAborted();
        if (!call.write(item)) await drained(call, running.signal);
      }
      call.end();
      logCall(log, rpc, { request }, running.elapsedMs(), undefined);
    } catch (error) {
      const status = rpcStatus(error, running.signal);
      logCall(log, rpc, { request }, running.elapsedMs(), { status, error });
      // How grpc-js is told to end a stream with a status.
      call.emit("error", status);
    } finally {
      running.end();
    }
  };
  return (call) => void answer(call);
}

/** Waits until the client has read enough of what was written to it. */
async function drained(call: ServerWritableStream<object, object>, signal: AbortSignal): Promise<void> {
  await abortable(new Promise<void>((resolve) => call.once("drain", resolve)), signal);
}
