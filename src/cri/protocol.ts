/**
 * The wire form of the CRI: service definitions for grpc-js, made from the compiled proto/runtime/v1/api.proto.
 *
 * What handlers see, chosen here once and matched by the options in scripts/generate-proto-types.ts:
 *   - field names as in the definition (`pod_sandbox_id`, `uidMappings`, `CDI_devices`, `Full`);
 *   - 64-bit integers arrive as decimal strings and may be sent as strings, or as numbers where 2^53 is enough;
 *   - enums arrive as names, or as numbers where the name is unknown; bytes arrive as Buffers;
 *   - what is absent in a request is its default: "", 0, [], {}; absent messages are null.
 *
 * protobufjs is used directly: proto-loader would describe each type to itself at start, which takes 30 to 40 ms.
 */
import type { MethodDefinition } from "@grpc/grpc-js";
import protobuf from "protobufjs/light.js";
import descriptor from "./generated/api.json" with { type: "json" };

const OUTPUT: protobuf.IConversionOptions = { longs: String, enums: String, defaults: true };

const root = protobuf.Root.fromJSON(descriptor as protobuf.INamespace);

/** A service as grpc-js serves and calls it, keyed by RPC name. */
export type WireService = Record<string, MethodDefinition<object, object>>;

function wireService(name: string): WireService {
  const service = root.lookupService(name);
  const methods: WireService = {};
  for (const method of service.methodsArray) {
    const request = root.lookupType(`runtime.v1.${method.requestType}`);
    const response = root.lookupType(`runtime.v1.${method.responseType}`);
    methods[method.name] = {
      path: `/${name}/${method.name}`,
      requestStream: method.requestStream === true,
      responseStream: method.responseStream === true,
      requestSerialize: (message) => encode(request, message),
      requestDeserialize: (bytes) => decode(request, bytes),
      responseSerialize: (message) => encode(response, message),
      responseDeserialize: (bytes) => decode(response, bytes),
    };
  }
  return methods;
}

// fromObject and not encode alone: it takes enums by name and 64-bit integers of every form.
function encode(type: protobuf.Type, message: object): Buffer {
  if (message instanceof EncodedMessage) return message.bytes;
  return type.encode(type.fromObject(message)).finish() as Buffer;
}

function decode(type: protobuf.Type, bytes: Buffer): object {
  return type.toObject(type.decode(bytes), OUTPUT);
}

/** What a handler may return instead of a message: its encoding. */
export class EncodedMessage {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/** @param type short name of the message's type. */
export function encodeMessage(type: string, message: object): Buffer {
  return encode(messageType(type), message);
}

/** runtime.v1.RuntimeService. */
export const runtimeServiceDefinition = wireService("runtime.v1.RuntimeService");
/** runtime.v1.ImageService. */
export const imageServiceDefinition = wireService("runtime.v1.ImageService");

/** A message type by its short name, "Mount"; for tests that look at definitions. */
export function messageType(name: string): protobuf.Type {
  return root.lookupType(`runtime.v1.${name}`);
}
