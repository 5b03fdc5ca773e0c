/** A CRI client for measuring: the calls that a pod's life needs, against any socket. */
import { credentials, Client } from "@grpc/grpc-js";
import { imageServiceDefinition, runtimeServiceDefinition } from "../src/cri/protocol.ts";

const DEADLINE_MS = 300_000;

export class CriClient {
  readonly #client: Client;

  /** @param endpoint "unix:///PATH" */
  constructor(endpoint: string) {
    this.#client = new Client(endpoint, credentials.createInsecure(), {
      "grpc.max_receive_message_length": 64 * 1024 * 1024,
    });
  }

  /** One unary call; resolves with the reply's fields. */
  call<T>(rpc: string, request: object): Promise<T> {
    const method = runtimeServiceDefinition[rpc] ?? imageServiceDefinition[rpc];
    if (!method) throw new Error(`no RPC ${rpc}`);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        { deadline: Date.now() + DEADLINE_MS },
        (error, reply) => (error ? reject(new Error(`${rpc}: ${error.message}`)) : resolve(reply as T)),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}
