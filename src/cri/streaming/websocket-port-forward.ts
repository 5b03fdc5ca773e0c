/**
 * Port forwarding over a WebSocket as clients did it before they tunnelled SPDY: the ports are known from the request,
 * and each has two channels, for data and for an error. The first message on either is the port, as 16 bits little
 * endian. One connection to each port; a channel has no end of its own.
 */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { errorMessage, GantryError } from "../../base/errors.ts";
import { type ChannelCodec, WebSocketChannels } from "./websocket-channels.ts";
import type { ConnectPort } from "./port-forward.ts";
import { pump } from "./pump.ts";

export const WEBSOCKET_PORT_FORWARD_PROTOCOLS: ReadonlyMap<string, ChannelCodec> = new Map([
  ["", { base64: false, closes: false }],
  ["v4.channel.k8s.io", { base64: false, closes: false }],
  ["v4.base64.channel.k8s.io", { base64: true, closes: false }],
]);

/** Two channels each, and the last number is taken. */
export const MAX_WEBSOCKET_PORTS = 100;

/** Serves one client until it has gone. Never rejects. */
export async function serveWebSocketPortForward(
  socket: WebSocket,
  ports: readonly number[],
  codec: ChannelCodec,
  connect: ConnectPort,
  onActivity: () => void,
): Promise<void> {
  const channels = new WebSocketChannels(socket, codec, onActivity);
  const gone = new AbortController();
  void channels.closed.then(() => gone.abort(new GantryError("cancelled", "the client has gone")));
  const served = ports.map(async (port, index) => {
    const input = channels.readable(2 * index);
    const output = channels.writable(2 * index);
    const error = channels.writable(2 * index + 1);
    const announcement = Buffer.alloc(2);
    announcement.writeUInt16LE(port);
    output.write(announcement);
    error.write(announcement);
    let target: Duplex | undefined;
    try {
      target = await connect(port, gone.signal);
      target.on("error", () => undefined);
      gone.signal.addEventListener("abort", () => target?.destroy(), { once: true });
      gone.signal.throwIfAborted();
      void pump(input, target).catch(() => undefined);
      await pump(target, output);
    } catch (cause) {
      error.write(errorMessage(cause));
    } finally {
      target?.destroy();
      input.destroy();
    }
  });
  await Promise.all(served);
  await channels.end();
}
