/**
 * A TCP port on loopback that nothing listens at, and that nobody else gets: it is below those that the kernel gives to
 * who asks for any, as other tests do while this one's server is still starting, or has a pod behind the port.
 */
import { createServer } from "node:net";
import { ownNumber } from "./own-number.ts";

/** Between the ports of the conformance suite and those of the tests of the bridge. */
const [FIRST, END] = [13_000, 18_000];

export async function freePort(): Promise<number> {
  for (;;) {
    const port = ownNumber("port", FIRST, END);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
