/**
 * Network interfaces that become a container's. The "host" of these tests is a network namespace of their own. Needs root,
 * a static busybox, iproute2 and util-linux.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pinNamespaces, unpinNamespaces } from "../src/native/namespace.ts";
import type { Linux, NetDevice, Spec } from "../src/oci/runtime-spec.ts";
import { OciBundle } from "./harness/oci-bundle.ts";

const bundle = new OciBundle();
// What the root of a user namespace cannot make in a directory of the host's.
for (const name of ["proc", "dev"]) mkdirSync(join(bundle.rootfs, name));
const host = join(bundle.base, "host");
const pod = join(bundle.base, "pod");

before(async () => {
  const pins = { net: true, ipc: false, uts: false, loopback: true, sysctls: [] };
  await pinNamespaces({ directory: host, ...pins });
  await pinNamespaces({ directory: pod, ...pins });
  bundle.starter = ["nsenter", `--net=${host}/net`];
});
after(async () => {
  await unpinNamespaces(host);
  await unpinNamespaces(pod);
  await bundle.end();
});

const ip = (where: string, ...args: string[]): string =>
  execFileSync("nsenter", [`--net=${where}/net`, "ip", ...args], { encoding: "utf8" });

const links = (where: string): string[] =>
  Array.from(ip(where, "-o", "link").matchAll(/^\d+: ([^@:]+)/gm), ([, name]) => name ?? "");

/** A pair, one end of which is to be given away. */
function pair(name: string): void {
  ip(host, "link", "add", name, "type", "veth", "peer", "name", `${name}p`);
}

function configure(
  command: string,
  netDevices: Record<string, NetDevice>,
  linux: Partial<Linux> = {},
  whole: Partial<Spec> = {},
): void {
  bundle.configure(["sh", "-c", command], {}, { netDevices, ...linux }, whole);
}

test("an interface comes with its lasting addresses, its name and its state", () => {
  pair("gka");
  ip(host, "link", "set", "gka", "mtu", "1400", "address", "02:00:00:00:00:05");
  ip(host, "addr", "add", "192.0.2.5/24", "brd", "+", "dev", "gka");
  ip(host, "addr", "add", "198.51.100.1", "peer", "198.51.100.2/32", "dev", "gka");
  ip(host, "addr", "add", "192.0.2.9/24", "valid_lft", "1000", "preferred_lft", "1000", "dev", "gka");
  ip(host, "addr", "add", "169.254.7.7/16", "scope", "link", "dev", "gka");
  ip(host, "addr", "add", "2001:db8::5/64", "nodad", "dev", "gka");
  ip(host, "link", "set", "gka", "up");
  configure(
    "ip -o addr show dev eth7; ip link show dev eth7; cat /proc/sys/net/ipv4/conf/eth7/forwarding",
    {
      gka: { name: "eth7" },
    },
    { sysctl: { "net.ipv4.conf.eth7.forwarding": "1" } },
  );
  const { code, out, err } = bundle.run("addresses");
  assert.equal(code, 0, err);
  assert.match(out, /inet 192\.0\.2\.5\/24 brd 192\.0\.2\.255 scope global eth7/);
  assert.match(out, /inet 198\.51\.100\.1 peer 198\.51\.100\.2\/32 /);
  assert.match(out, /inet6 2001:db8::5\/64 scope global/);
  assert.doesNotMatch(out, /192\.0\.2\.9|169\.254/);
  assert.match(out, /<[^>]*\bUP\b[^>]*> mtu 1400/);
  assert.match(out, /02:00:00:00:00:05/);
  assert.match(out, /\n1\n$/, "a sysctl of the interface");
});

test("names that the kernel completes, in a network namespace that is there and a new user namespace", () => {
  pair("gkb");
  pair("gkc");
  const mappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  configure(
    "ip -o link",
    { gkb: { name: "net%d" }, gkc: { name: "net%d" } },
    {
      namespaces: [
        { type: "mount" },
        { type: "pid" },
        { type: "uts" },
        { type: "ipc" },
        { type: "user" },
        { type: "network", path: `${pod}/net` },
      ],
      uidMappings: mappings,
      gidMappings: mappings,
    },
    // A sysfs would need the network namespace to be the user namespace's own.
    {
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs" },
      ],
    },
  );
  const { code, out, err } = bundle.run("template");
  assert.equal(code, 0, err);
  assert.match(out, /: net0[@:]/);
  assert.match(out, /: net1[@:]/);
  assert.deepEqual(links(pod), ["lo", "net0", "net1"], "they stay with the namespace");
});

test("what cannot be moved is named, and stays", () => {
  pair("gkd");
  ip(pod, "link", "add", "taken", "type", "veth", "peer", "name", "takenp");
  const joined: Partial<Linux> = {
    namespaces: [{ type: "mount" }, { type: "uts" }, { type: "network", path: `${pod}/net` }],
  };
  configure("true", { gkd: { name: "taken" } }, joined);
  assert.match(
    bundle.run("taken").err,
    /linux\.netDevices: gkd: .*has an interface taken already \(move: EEXIST\)/,
  );
  configure("true", { nothing: {} });
  assert.match(bundle.run("missing").err, /linux\.netDevices: nothing: find the interface: no such device/);
  configure("true", { lo: {} });
  assert.match(bundle.run("loopback").err, /linux\.netDevices: lo: a loopback interface stays/);
  assert.ok(links(host).includes("gkd"), links(host).join(" "));
  assert.deepEqual(bundle.containers(), []);
});
