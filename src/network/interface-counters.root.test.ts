/** Counters of interfaces in real namespaces. Needs root, and the ip command. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pinNamespaces, unpinNamespaces } from "../native/namespace.ts";
import { interfaceCounters } from "./interface-counters.ts";

const base = mkdtempSync(join(tmpdir(), "gantry-counters-"));
const names = ["one", "two"];
after(async () => {
  for (const name of names) await unpinNamespaces(join(base, name));
  rmSync(base, { recursive: true });
});

const ip = (name: string, ...command: string[]): string =>
  execFileSync("nsenter", [`--net=${join(base, name, "net")}`, "ip", ...command], { encoding: "utf8" });

test("each namespace its own interfaces, without loopback; a path that is no namespace has none", async () => {
  for (const name of names)
    await pinNamespaces({
      directory: join(base, name),
      net: true,
      ipc: false,
      uts: false,
      loopback: true,
      sysctls: [],
    });
  ip("one", "link", "add", "name", "va", "type", "veth", "peer", "name", "vb");
  for (const name of ["va", "vb"]) ip("one", "link", "set", "dev", name, "up");
  const paths = [join(base, "one/net"), "/etc/hostname", join(base, "gone"), join(base, "two/net")];
  const counters = await interfaceCounters(paths);
  assert.deepEqual(
    counters(0)
      ?.map(({ name }) => name)
      .toSorted(),
    ["va", "vb"],
  );
  assert.equal(counters(1), undefined);
  assert.equal(counters(2), undefined);
  assert.deepEqual(counters(3), []);
  // "one" has more to tell than "two", and its neighbour is none the worse for it.
  const limited = await interfaceCounters(paths, 3000);
  assert.equal(limited(0), undefined);
  assert.deepEqual(limited(3), []);
  const shown = JSON.parse(ip("one", "-s", "-j", "link", "show", "dev", "va")) as {
    stats64: { tx: { bytes: number; packets: number } };
  }[];
  const found = (await interfaceCounters(paths))(0)?.find(({ name }) => name === "va");
  // The kernel sends neighbour solicitations of its own, so only the order is sure.
  assert.ok(shown[0] && found && found.txPackets >= shown[0].stats64.tx.packets);
  assert.ok(found.txBytes >= shown[0].stats64.tx.bytes);
});
