/** The channels of an exec or attach over a WebSocket: their numbers, and the protocols that have them. */
import type { WebSocket } from "ws";
import type { RemoteChannels } from "./remote-command.ts";
import type { CommandRequest } from "./request-ticket.ts";
import { type ChannelCodec, WebSocketChannels } from "./websocket-channels.ts";

export interface RemoteCommandCodec extends ChannelCodec {
  version: number;
}

/** By subprotocol; "" stands for a client that names none. */
export const WEBSOCKET_COMMAND_PROTOCOLS: ReadonlyMap<string, RemoteCommandCodec> = new Map([
  ["", { version: 1, base64: false, closes: false }],
  ["channel.k8s.io", { version: 1, base64: false, closes: false }],
  ["base64.channel.k8s.io", { version: 1, base64: true, closes: false }],
  ["v4.channel.k8s.io", { version: 4, base64: false, closes: false }],
  ["v4.base64.channel.k8s.io", { version: 4, base64: true, closes: false }],
  ["v5.channel.k8s.io", { version: 5, base64: false, closes: true }],
]);

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;

export function acceptWebSocketChannels(
  socket: WebSocket,
  request: CommandRequest,
  codec: RemoteCommandCodec,
  onActivity: () => void,
): RemoteChannels {
  const channels = new WebSocketChannels(socket, codec, onActivity);
  const accepted: RemoteChannels = {
    protocolVersion: codec.version,
    stdin: request.stdin ? channels.readable(STDIN) : undefined,
    stdout: request.stdout ? channels.writable(STDOUT) : undefined,
    stderr: request.stderr ? channels.writable(STDERR) : undefined,
    error: channels.writable(ERROR),
    resize: request.tty ? channels.readable(RESIZE) : undefined,
    closed: channels.closed,
    end: () => channels.end(),
  };
  channels.greet(request.stdout ? STDOUT : request.stderr ? STDERR : ERROR);
  return accepted;
}
