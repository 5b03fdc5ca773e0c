/**
 * NOTIFY_SOCKET of gantry-oci: a container's process says that it is ready, and the service manager hears that and
 * nothing else of it. Needs root.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { datagramAddon } from "../src/native/datagram.ts";
import { OciBundle } from "./harness/oci-bundle.ts";

const oci = new OciBundle();
process.env["NODE_COMPILE_CACHE"] = join(oci.base, "compiled");
const manager = join(oci.base, "manager.sock");
const listener = datagramAddon.datagramListen(manager);
const NOBODY = 2 ** 22 + 1;
oci.compile(
  "notify",
  `#include <stdlib.h>
   #include <string.h>
   #include <sys/socket.h>
   #include <sys/un.h>
   int main(int count, char **words) {
       struct sockaddr_un address = {.sun_family = AF_UNIX};
       strcpy(address.sun_path, getenv("NOTIFY_SOCKET"));
       int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
       for (int i = 1; i < count; i++)
           if (sendto(fd, words[i], strlen(words[i]), 0, (void *)&address, sizeof address) < 0) return 1;
       return 0;
   }`,
);
// The socket is for any user of a container all the same.
process.umask(0o077);
beforeEach(() => {
  process.env["NOTIFY_SOCKET"] = manager;
});
after(() => oci.end());

/** What the manager has got by now. */
async function heard(): Promise<string[]> {
  const messages: string[] = [];
  for (;;) {
    const message = await datagramAddon.datagramReceive(listener, NOBODY);
    if (message === undefined) return messages;
    messages.push(message);
  }
}

const pidOf = (id: string): number => (JSON.parse(oci.oci(["state", id]).out) as { pid: number }).pid;
const SAYS = [
  "sh",
  "-c",
  "notify MAINPID=1 STATUS=x 'FDSTORE=1\nREADY=11'; notify 'STATUS=y\nREADY=1'; exec sleep 300",
];
const MAPPING = [{ containerID: 0, hostID: 200_000, size: 65_536 }];

test("run --detach and start end when the process is ready, whoever it is", async () => {
  oci.configure(SAYS);
  assert.equal(oci.detached(["run", "-d", "-b", oci.bundle, "plain"]), 0, oci.log());
  assert.deepEqual(await heard(), [`READY=1\nMAINPID=${pidOf("plain")}`]);
  const types = ["pid", "network", "mount", "ipc", "uts", "user"] as const;
  const namespaces = types.map((type) => ({ type }));
  const maps = { namespaces, uidMappings: MAPPING, gidMappings: MAPPING };
  oci.configure(SAYS, { user: { uid: 5, gid: 6 } }, maps, { root: { path: "rootfs" } });
  assert.equal(oci.detached(["create", "-b", oci.bundle, "mapped"]), 0, oci.log());
  assert.deepEqual(await heard(), []);
  assert.equal(oci.detached(["start", "mapped"]), 0, oci.log());
  assert.deepEqual(await heard(), [`READY=1\nMAINPID=${pidOf("mapped")}`]);
  for (const id of ["plain", "mapped"]) assert.equal(oci.oci(["delete", "--force", id]).code, 0);
});

test("run in the foreground is the service itself", async () => {
  oci.configure(["notify", "READY=1"]);
  assert.equal(oci.run("front").code, 0);
  assert.deepEqual(await heard(), ["READY=1"]);
});

test("a process that ends without a word is no failure, and without the variable there is none", async () => {
  oci.configure(["true"]);
  assert.equal(oci.detached(["run", "-d", "-b", oci.bundle, "mute"]), 0, oci.log());
  assert.equal(oci.oci(["delete", "mute"]).code, 0);
  assert.deepEqual(await heard(), []);
  delete process.env["NOTIFY_SOCKET"];
  oci.configure(["sh", "-c", "echo [$NOTIFY_SOCKET]"]);
  assert.equal(oci.run("without").out, "[]\n");
});
