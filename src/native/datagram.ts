/** The addon's part "datagram": a datagram socket of the unix family to listen on. Node has none. */
import { addon } from "./addon.ts";

export interface DatagramAddon {
  /** Binds a socket to a path that does not exist, of at most 107 bytes; its descriptor. */
  datagramListen(path: string): number;
  /** The next message, its first 4096 bytes; undefined when the process has ended and none is left. */
  datagramReceive(fd: number, pid: number): Promise<string | undefined>;
}

export const datagramAddon: DatagramAddon = addon as DatagramAddon;
