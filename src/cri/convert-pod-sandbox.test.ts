import assert from "node:assert/strict";
import test from "node:test";
import { GantryError } from "../base/errors.ts";
import type { PodSandboxConfig } from "../engine/pod-sandbox.ts";
import { podSandboxConfig, podSandboxFilter, podSandboxStatusMessage } from "./convert-pod-sandbox.ts";
import { samplePodSandbox } from "./fake-engine.ts";
import type {
  PodSandboxConfig as PodSandboxConfigMessage,
  PodSandboxConfig__Output,
} from "./generated/runtime/v1/PodSandboxConfig.ts";
import { messageType } from "./protocol.ts";

const metadata = { name: "web", uid: "u-1", namespace: "default", attempt: 3 };

function convert(message: PodSandboxConfigMessage): PodSandboxConfig {
  const type = messageType("PodSandboxConfig");
  const bytes = type.encode(type.fromObject({ metadata, ...message })).finish();
  const received = type.toObject(type.decode(bytes), { longs: String, enums: String, defaults: true });
  return podSandboxConfig(received as PodSandboxConfig__Output, "config");
}

function refused(message: PodSandboxConfigMessage, expected: RegExp): void {
  assert.throws(
    () => convert(message),
    (error) =>
      error instanceof GantryError && error.kind === "invalid-argument" && expected.test(error.message),
    `expected ${expected}`,
  );
}

const namespaces = (namespace_options: object): PodSandboxConfigMessage => ({
  linux: { security_context: { namespace_options } },
});

test("the least that a sandbox can be: every namespace of the pod", () => {
  const config = convert({});
  assert.deepEqual(config.metadata, metadata);
  assert.deepEqual(config.namespaces, { network: "pod", pid: "pod", ipc: "pod", targetId: "" });
  assert.equal(config.dns, undefined);
  assert.equal(config.privileged, false);
  refused({ metadata: null }, /^config\.metadata is missing$/);
  for (const part of ["name", "uid", "namespace"] as const)
    refused({ metadata: { ...metadata, [part]: "" } }, new RegExp(`^config\\.metadata\\.${part} is empty$`));
});

test("no name leads out of a directory", () => {
  for (const value of ["../x", "..", "a/b", "a\0b", "a\nb"])
    for (const part of ["name", "uid", "namespace"] as const)
      refused({ metadata: { ...metadata, [part]: value } }, new RegExp(`metadata\\.${part} `));
  refused({ log_directory: "/var/log/../../etc" }, /log_directory .* has "\.\." in it/);
  refused({ log_directory: "var/log" }, /log_directory .* is not an absolute path/);
  refused({ linux: { cgroup_parent: "/kubepods/../.." } }, /cgroup_parent/);
  refused({ hostname: "a/b" }, /hostname/);
});

test("annotations and labels are what they were", () => {
  const annotations = { "k/a": " x\n", "": "empty key", 'q"': "\u2028" };
  const config = convert({ annotations, labels: { a: "" } });
  assert.deepEqual(config.annotations, annotations);
  assert.deepEqual(podSandboxStatusMessage({ ...samplePodSandbox, config }).annotations, annotations);
  assert.deepEqual(config.labels, { a: "" });
});

test("namespaces", () => {
  assert.deepEqual(convert(namespaces({ network: "NODE", pid: "CONTAINER", ipc: "NODE" })).namespaces, {
    network: "node",
    pid: "container",
    ipc: "node",
    targetId: "",
  });
  refused(
    namespaces({ network: "CONTAINER" }),
    /namespace_options\.network is CONTAINER, and must be POD or NODE/,
  );
  refused(namespaces({ ipc: "TARGET" }), /namespace_options\.ipc is TARGET/);
  refused(namespaces({ pid: "TARGET" }), /target_id is empty, with pid mode TARGET/);
  refused(namespaces({ pid: 17 }), /pid has the unknown value 17/);
});

test("user namespaces: one mapping of each kind, from root on", () => {
  const one = [{ container_id: 0, host_id: 100_000, length: 65_536 }];
  const user = (userns_options: object): PodSandboxConfigMessage => namespaces({ userns_options });
  assert.deepEqual(convert(user({ mode: "POD", uids: one, gids: one })).namespaces.user?.uids, [
    { containerId: 0, hostId: 100_000, length: 65_536 },
  ]);
  assert.equal(convert(user({ mode: "NODE" })).namespaces.user?.mode, "node");
  refused(user({ mode: "POD" }), /userns_options\.uids must be one mapping/);
  refused(user({ mode: "POD", uids: [...one, ...one], gids: one }), /uids must be one mapping/);
  refused(
    user({ mode: "POD", uids: one, gids: [{ ...one[0], container_id: 1 }] }),
    /gids must be one mapping/,
  );
  refused(user({ mode: "CONTAINER", uids: one, gids: one }), /userns_options\.mode is CONTAINER/);
  refused(user({ mode: "POD", uids: [{ length: 0 }], gids: one }), /uids\[0\]\.length is 0/);
  refused(user({ mode: "POD", uids: [{ host_id: 4294967000, length: 1000 }], gids: one }), /length/);
});

test("port mappings", () => {
  const port = (mapping: object): PodSandboxConfigMessage => ({ port_mappings: [mapping] });
  assert.deepEqual(convert(port({ protocol: "SCTP", container_port: 80, host_ip: "::1" })).portMappings, [
    { protocol: "sctp", containerPort: 80, hostPort: 0, hostIp: "::1" },
  ]);
  refused(port({ container_port: 0 }), /container_port is 0/);
  refused(port({ container_port: 80, host_port: 65536 }), /host_port is 65536/);
  refused(port({ container_port: 80, host_ip: "localhost" }), /host_ip "localhost" is not an IP address/);
  refused(port({ container_port: 80, protocol: 3 }), /protocol has the unknown value 3/);
});

test("resolver settings are words", () => {
  const dns = convert({ dns_config: { servers: ["10.0.0.10"], options: ["ndots:5"] } }).dns;
  assert.deepEqual(dns, { servers: ["10.0.0.10"], searches: [], options: ["ndots:5"] });
  refused({ dns_config: { searches: ["a\nnameserver 6.6.6.6"] } }, /searches\[0\] .* has white space/);
  refused({ dns_config: { servers: [""] } }, /servers\[0\] is empty/);
});

test("a sandbox's group needs its user", () => {
  const user = (security_context: object): PodSandboxConfigMessage => ({ linux: { security_context } });
  refused(user({ run_as_group: { value: 5 } }), /run_as_group is given without run_as_user/);
  refused(user({ run_as_user: { value: "4294967296" } }), /run_as_user/);
  assert.equal(convert(user({ privileged: true })).privileged, true);
  assert.equal(convert(user({ seccomp_profile_path: "unconfined" })).seccomp?.kind, "unconfined");
});

test("status: addresses, and namespaces as they were asked for", () => {
  const config = convert(namespaces({ network: "POD", pid: "NODE" }));
  const status = podSandboxStatusMessage({ ...samplePodSandbox, config });
  assert.deepEqual(status.network, { ip: "10.1.0.5", additional_ips: [{ ip: "fd00::5" }] });
  assert.equal(status.linux?.namespaces?.options?.pid, "NODE");
  assert.equal(status.created_at, "1763700000123456789");
  assert.deepEqual(podSandboxStatusMessage({ ...samplePodSandbox, ips: [] }).network, {
    ip: "",
    additional_ips: [],
  });
});

test("filters", () => {
  assert.deepEqual(podSandboxFilter(null), {});
  assert.deepEqual(
    podSandboxFilter({ id: "a", state: { state: "SANDBOX_NOTREADY" }, label_selector: { x: "y" } }),
    { id: "a", state: "notready", labels: { x: "y" } },
  );
});
