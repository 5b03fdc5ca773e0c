/** HTTP/2 rapid reset against the CRI server, with a client below gRPC's level. */
import { connect } from "node:http2";
import { createConnection } from "node:net";
import test from "node:test";
import { fakeEngine } from "../src/cri/fake-engine.ts";
import { serveForTest } from "../src/cri/serve-for-test.ts";

test("a client that opens and resets thousands of calls harms nobody else (CVE-2023-44487)", async () => {
  await using served = await serveForTest(fakeEngine());
  const session = connect("http://localhost", {
    createConnection: () => createConnection(served.socketPath),
  });
  session.on("error", () => undefined);
  for (let count = 0; count < 5000 && !session.destroyed; count++) {
    const stream = session.request({
      ":method": "POST",
      ":path": "/runtime.v1.RuntimeService/ListContainers",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => undefined);
    stream.close(8);
    if (count % 500 === 0) await served.client.Version({});
  }
  await served.client.Version({});
  session.destroy();
  await served.server.drain(1000);
});
