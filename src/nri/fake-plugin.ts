/**
 * The plugin's side of NRI for tests: connects, registers, and answers each call with what the test says, an empty message
 * where it says nothing.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { EventCall } from "./events.ts";
import { Demultiplexer, framesOf } from "./mux.ts";
import { nriCodec, ttrpcCodec } from "./protocol.ts";
import { encodeFrame, FrameDecoder, type TtrpcFrame } from "./ttrpc-frame.ts";

type Call = EventCall | "Configure" | "Synchronize" | "StateChange";

interface Message {
  pod?: { id: string } | null;
  container?: { id: string } | null;
  more?: boolean;
}

const requests = ttrpcCodec<object, { method: Call; payload: Buffer }>("Request");
const responses = ttrpcCodec<object, { status: { message: string } | null; payload: Buffer }>("Response");

/** Takes the message in the form that the test knows it to have. */
export type Answer = (message: never) => object | Promise<object>;

/** The answer to a call of which the plugin knows nothing. */
export class Unimplemented extends Error {}

export class FakePlugin {
  readonly socket: Socket;
  /** Calls received, in order: "CreateContainer c1". */
  readonly calls: string[] = [];
  /** The last message of each call. */
  readonly last = new Map<string, unknown>();
  answers: Partial<Record<Call, Answer>>;
  readonly #pending = new Map<
    number,
    (payload: { status: { message: string } | null; payload: Buffer }) => void
  >();
  #streamId = 1;

  constructor(path: string, answers: Partial<Record<Call, Answer>> = {}) {
    this.answers = answers;
    this.socket = connect(path);
    this.socket.on("error", () => undefined);
    const streams = new Demultiplexer();
    const calls = new FrameDecoder((frame) => void this.#called(frame));
    const replies = new FrameDecoder((frame) =>
      this.#pending.get(frame.streamId)?.(responses.decode(frame.payload)),
    );
    streams.open(1, (bytes) => calls.receive(bytes));
    streams.open(2, (bytes) => replies.receive(bytes));
    this.socket.on("data", (chunk: Buffer) => streams.receive(chunk));
  }

  /** Connects and registers, and waits until it has been synchronized. */
  static async join(
    path: string,
    name: string,
    answers: Partial<Record<Call, Answer>> = {},
  ): Promise<FakePlugin> {
    const plugin = new FakePlugin(path, answers);
    const { promise: synchronized, resolve } = Promise.withResolvers<void>();
    const synchronize = answers.Synchronize;
    plugin.answers.Synchronize = async (message: Message) => {
      const answer = (await synchronize?.(message as never)) ?? {};
      if (!message.more) setImmediate(resolve);
      return answer;
    };
    await plugin.register(name);
    await synchronized;
    return plugin;
  }

  async register(name: string): Promise<string | undefined> {
    const payload = { plugin_idx: name.slice(0, 2), plugin_name: name.slice(3) };
    return (await this.ask("RegisterPlugin", "RegisterPluginRequest", payload)).error;
  }

  /** A call to the runtime. */
  async ask(method: string, type: string, message: object): Promise<{ error?: string; payload: Buffer }> {
    const streamId = this.#streamId;
    this.#streamId += 2;
    const { promise, resolve } = Promise.withResolvers<{
      status: { message: string } | null;
      payload: Buffer;
    }>();
    this.#pending.set(streamId, resolve);
    const payload = nriCodec(type).encode(message);
    const request = requests.encode({ service: "nri.pkg.api.v1alpha1.Runtime", method, payload });
    this.#send(2, { streamId, type: 1, payload: request });
    const { status, payload: reply } = await promise;
    return { payload: reply, ...(status && { error: status.message }) };
  }

  /** Waits for the connection's end. */
  async ended(): Promise<void> {
    while (!this.socket.destroyed && !this.socket.readableEnded) await sleep(5);
  }

  close(): void {
    this.socket.destroy();
  }

  #send(stream: number, frame: { streamId: number; type: number; payload: Uint8Array }): void {
    this.socket.write(framesOf(stream, encodeFrame({ flags: 0, ...frame })));
  }

  async #called(frame: TtrpcFrame): Promise<void> {
    const { method, payload } = requests.decode(frame.payload);
    const type = method === "StateChange" ? "StateChangeEvent" : `${method}Request`;
    const message = nriCodec<object, Message>(type).decode(payload);
    const id = message.container?.id ?? message.pod?.id ?? "";
    this.calls.push(`${method} ${id}`.trim());
    this.last.set(method, message);
    let response: object;
    try {
      const answer = (await this.answers[method]?.(message as never)) ?? {};
      const reply = method === "StateChange" ? "Empty" : `${method}Response`;
      response = { payload: nriCodec(reply).encode(answer) };
    } catch (error) {
      const code = error instanceof Unimplemented ? 12 : 2;
      response = { status: { code, message: error instanceof Error ? error.message : "" } };
    }
    this.#send(1, { streamId: frame.streamId, type: 2, payload: responses.encode(response) });
  }
}
