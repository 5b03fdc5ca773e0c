/**
 * A typed client of the CRI, for the tests, the benchmark and commands of our own: `client.Version({})`.
 *
 * Calls reject with grpc-js's ServiceError, whose `code` and `details` are what the server answered. A stream's
 * messages are gathered to its end.
 */
import {
  Client,
  type ClientReadableStream,
  credentials,
  type CallOptions,
  type MethodDefinition,
} from "@grpc/grpc-js";
import type { MethodDefinition as LoadedMethod } from "@grpc/proto-loader";
import type { ContainerEventResponse__Output } from "./generated/runtime/v1/ContainerEventResponse.ts";
import type { ImageServiceDefinition, ImageServiceHandlers } from "./generated/runtime/v1/ImageService.ts";
import type {
  RuntimeServiceDefinition,
  RuntimeServiceHandlers,
} from "./generated/runtime/v1/RuntimeService.ts";
import { imageServiceDefinition, runtimeServiceDefinition } from "./protocol.ts";

export interface CriCallOptions {
  /** Milliseconds from now. */
  timeoutMs?: number;
  /** Cancels the call. */
  signal?: AbortSignal;
}

/** A handler that has no callback writes a stream. */
type Reply<Handler, Output> = Handler extends (call: never) => void ? Output[] : Output;

type Calls<Definition, Handlers> = {
  [Rpc in keyof Definition as string extends Rpc ? never : Rpc]: Definition[Rpc] extends LoadedMethod<
    infer Request,
    infer _Response,
    infer _Received,
    infer Output
  >
    ? (
        request: Request,
        options?: CriCallOptions,
      ) => Promise<Reply<Rpc extends keyof Handlers ? Handlers[Rpc] : never, Output>>
    : never;
};

export type CriClient = Calls<RuntimeServiceDefinition, RuntimeServiceHandlers> &
  Calls<ImageServiceDefinition, ImageServiceHandlers> & {
    /** The events from now on, one by one. Resolves once the server serves the call: nothing later is missed. */
    followEvents(options?: CriCallOptions): Promise<EventStream>;
    close(): void;
  };

export type EventStream = AsyncIterable<ContainerEventResponse__Output> & { cancel(): void };

/** Connects at the first call. @param address "unix:///PATH". */
export function criClient(address: string): CriClient {
  const client = new Client(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.enable_retries": 0,
  });
  const calls: Record<string, unknown> = {
    close: () => client.close(),
    followEvents: (options?: CriCallOptions) => followEvents(client, options),
  };
  for (const [rpc, method] of Object.entries({ ...runtimeServiceDefinition, ...imageServiceDefinition }))
    calls[rpc] = method.responseStream
      ? (request: object, options?: CriCallOptions) => gather(client, method, request, options)
      : (request: object, options?: CriCallOptions) => single(client, method, request, options);
  return calls as CriClient;
}

async function single(
  client: Client,
  method: MethodDefinition<object, object>,
  request: object,
  options: CriCallOptions | undefined,
): Promise<object> {
  return await new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      callOptions(options),
      (error, response) => {
        options?.signal?.removeEventListener("abort", cancel);
        if (error) reject(error);
        else resolve(response as object);
      },
    );
    const cancel = (): void => call.cancel();
    options?.signal?.addEventListener("abort", cancel, { once: true });
  });
}

async function gather(
  client: Client,
  method: MethodDefinition<object, object>,
  request: object,
  options: CriCallOptions | undefined,
): Promise<object[]> {
  const stream = serverStream(client, method, request, options);
  const cancel = (): void => stream.cancel();
  options?.signal?.addEventListener("abort", cancel, { once: true });
  const messages: object[] = [];
  try {
    for await (const message of stream) messages.push(message as object);
    return messages;
  } finally {
    options?.signal?.removeEventListener("abort", cancel);
  }
}

async function followEvents(client: Client, options: CriCallOptions | undefined): Promise<EventStream> {
  const method = runtimeServiceDefinition["GetContainerEvents"] as MethodDefinition<object, object>;
  const stream = serverStream(client, method, {}, options);
  options?.signal?.addEventListener("abort", () => stream.cancel(), { once: true });
  await new Promise((resolve, reject) => {
    stream.once("error", reject);
    stream.once("metadata", () => {
      stream.off("error", reject);
      resolve(undefined);
    });
  });
  return stream as EventStream;
}

function serverStream(
  client: Client,
  method: MethodDefinition<object, object>,
  request: object,
  options: CriCallOptions | undefined,
): ClientReadableStream<object> {
  return client.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    callOptions(options),
  );
}

function callOptions(options: CriCallOptions | undefined): CallOptions {
  return options?.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}
