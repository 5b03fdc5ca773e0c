/**
 * The wire form of NRI's messages: protobufjs types made from proto/nri and proto/ttrpc.
 *
 * What arrives: names as in the definition, 64-bit integers as decimal strings, enums as names (numbers where unknown),
 * absent scalars as "", 0 and false, absent lists and maps empty, absent messages null. What is sent may leave out
 * anything.
 */
import protobuf from "protobufjs/light.js";
import { GantryError, errorMessage } from "../base/errors.ts";
import api from "./generated/api/api.json" with { type: "json" };
import ttrpc from "./generated/ttrpc/ttrpc.json" with { type: "json" };

const OUTPUT: protobuf.IConversionOptions = { longs: String, enums: String, defaults: true };

const apiRoot = protobuf.Root.fromJSON(api as protobuf.INamespace);
const ttrpcRoot = protobuf.Root.fromJSON(ttrpc);

const PACKAGE = "nri.pkg.api.v1alpha1";
export const PLUGIN_SERVICE = `${PACKAGE}.Plugin`;
export const RUNTIME_SERVICE = `${PACKAGE}.Runtime`;

export interface Codec<In, Out> {
  encode(message: In): Uint8Array;
  /** @throws invalid-argument for what is no such message. */
  decode(bytes: Uint8Array): Out;
}

function codec<In extends object, Out>(type: protobuf.Type): Codec<In, Out> {
  return {
    encode: (message) => type.encode(type.fromObject(message)).finish(),
    decode: (bytes) => {
      try {
        return type.toObject(type.decode(bytes), OUTPUT) as Out;
      } catch (error) {
        throw new GantryError("invalid-argument", `malformed ${type.name}: ${errorMessage(error)}`);
      }
    },
  };
}

const codecs = new Map<string, Codec<object, unknown>>();

/** Of a message of NRI by its short name, "PodSandbox". The caller vouches for the types. */
export function nriCodec<In extends object, Out>(name: string): Codec<In, Out> {
  let known = codecs.get(name);
  if (!known) codecs.set(name, (known = codec(apiRoot.lookupType(`${PACKAGE}.${name}`))));
  return known as unknown as Codec<In, Out>;
}

/** Of ttrpc's envelope, "Request" or "Response". */
export function ttrpcCodec<In extends object, Out>(name: "Request" | "Response"): Codec<In, Out> {
  return codec(ttrpcRoot.lookupType(`ttrpc.${name}`));
}

/** Numbers of an enum by name. */
export function nriEnum(name: string): Readonly<Record<string, number>> {
  return apiRoot.lookupEnum(`${PACKAGE}.${name}`).values;
}
