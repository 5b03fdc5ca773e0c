import assert from "node:assert/strict";
import test from "node:test";
import { bytesOfText } from "../base/byte-text.ts";
import { GantryError } from "../base/errors.ts";
import type { ContainerConfig } from "../engine/container.ts";
import {
  containerConfig,
  containerFilter,
  containerMessage,
  containerStatusMessage,
} from "./convert-container.ts";
import { sampleContainer, sampleImage } from "./fake-engine.ts";
import type { ContainerConfig as ContainerConfigMessage } from "./generated/runtime/v1/ContainerConfig.ts";
import type { ContainerConfig__Output } from "./generated/runtime/v1/ContainerConfig.ts";
import type { Mount } from "./generated/runtime/v1/Mount.ts";
import type { ContainerFilter__Output } from "./generated/runtime/v1/ContainerFilter.ts";
import { messageType } from "./protocol.ts";

/** As it comes off the wire, on top of what every container must have. */
function received(message: ContainerConfigMessage): ContainerConfig__Output {
  const type = messageType("ContainerConfig");
  const whole = { metadata: { name: "main" }, image: { image: "busybox" }, ...message };
  const bytes = type.encode(type.fromObject(whole)).finish();
  return type.toObject(type.decode(bytes), {
    longs: String,
    enums: String,
    defaults: true,
  }) as ContainerConfig__Output;
}

function convert(message: ContainerConfigMessage): ContainerConfig {
  return containerConfig(received(message), "config");
}

function refused(message: ContainerConfigMessage, expected: RegExp): void {
  assert.throws(
    () => convert(message),
    (error) =>
      error instanceof GantryError && error.kind === "invalid-argument" && expected.test(error.message),
    `expected ${expected}`,
  );
}

test("the least that a container can be", () => {
  const config = convert({});
  assert.deepEqual(config.metadata, { name: "main", attempt: 0 });
  assert.equal(config.image.image, "busybox");
  assert.equal(config.resources, undefined);
  assert.equal(config.stopSignal, "");
  assert.equal(config.security.runAsUser, undefined);
  assert.equal(config.security.namespaces, undefined);
  refused({ metadata: null }, /^config\.metadata is missing$/);
  refused({ metadata: {} }, /^config\.metadata\.name is empty$/);
  refused({ image: null }, /^config\.image is missing$/);
  refused({ image: {} }, /^config\.image\.image is empty$/);
});

test("environment: bytes become text, or name the variable they are in, never its value", () => {
  const env = [{ key: "GREETING", value: Buffer.from("grüß\n=x") }];
  assert.deepEqual(convert({ envs: env }).env, [{ key: "GREETING", value: "grüß\n=x" }]);
  assert.deepEqual(
    convert({ envs: [{ key: "BOM", value: Buffer.from("\ufeffx") }] }).env[0]?.value,
    "\ufeffx",
  );
  const bytes = convert({ envs: [{ key: "BYTES", value: Buffer.from([0x73, 0xff]) }] }).env[0]?.value;
  assert.deepEqual([...bytesOfText(bytes ?? "")], [0x73, 0xff]);
  refused(
    { envs: [{ key: "A", value: Buffer.from("a\0b") }] },
    /^config\.envs\[0\]\.value, of "A", has a NUL byte in it$/,
  );
  refused({ envs: [{ key: "", value: Buffer.from("a") }] }, /envs\[0\]\.key is empty/);
  refused({ envs: [{ key: "A=B", value: Buffer.from("a") }] }, /has "=" in it/);
});

test("log paths stay in the pod's log directory", () => {
  assert.equal(convert({ log_path: "main/0.log" }).logPath, "main/0.log");
  assert.equal(convert({ log_path: "a..b" }).logPath, "a..b");
  refused({ log_path: "../../etc/cron.d/x" }, /^config\.log_path .* has "\.\." in it/);
  refused({ log_path: "a/.." }, /log_path/);
  refused({ log_path: "/etc/x" }, /log_path .* is not relative/);
  refused({ metadata: { name: "../x" } }, /metadata\.name/);
  refused({ metadata: { name: ".." } }, /metadata\.name/);
  refused({ metadata: { name: "a\nb" } }, /metadata\.name/);
});

test("arguments cannot be cut off by a NUL", () => {
  refused({ command: ["sh\0x"] }, /config\.command\[0\] has a NUL/);
  refused({ args: ["a", "b\0"] }, /config\.args\[1\] has a NUL/);
  refused({ working_dir: "/\0" }, /working_dir/);
});

test("users: a number or a name, and a group only with one of them", () => {
  const security = (security_context: object): ContainerConfigMessage => ({ linux: { security_context } });
  const given = convert(security({ run_as_user: { value: 0 }, run_as_group: { value: 7 } })).security;
  assert.equal(given.runAsUser, 0);
  assert.equal(given.runAsGroup, 7);
  assert.equal(
    convert(security({ run_as_username: "www", run_as_group: { value: 7 } })).security.runAsGroup,
    7,
  );
  refused(security({ run_as_group: { value: 7 } }), /run_as_group is given without run_as_user/);
  refused(security({ run_as_user: { value: 1 }, run_as_username: "www" }), /run_as_user is given together/);
  for (const value of ["-1", "2147483648", "4294967296"])
    refused(security({ run_as_user: { value } }), /run_as_user is .*, and must be from 0 to 2147483647/);
  refused(security({ supplemental_groups: ["1", "4294967297"] }), /supplemental_groups\[1\]/);
  assert.equal(
    convert(security({ supplemental_groups_policy: "Strict" })).security.supplementalGroupsPolicy,
    "strict",
  );
});

test("profiles: the message counts, and the deprecated text only without it", () => {
  const profiles = (security_context: object): ContainerConfig["security"] =>
    convert({ linux: { security_context } }).security;
  assert.deepEqual(profiles({ seccomp_profile_path: "localhost//p/a.json" }).seccomp, {
    kind: "localhost",
    localhostRef: "/p/a.json",
  });
  assert.equal(profiles({ seccomp_profile_path: "unconfined" }).seccomp?.kind, "unconfined");
  assert.equal(profiles({ apparmor_profile: "runtime/default" }).apparmor?.kind, "runtime-default");
  assert.equal(
    profiles({ seccomp_profile_path: "unconfined", seccomp: { profile_type: "RuntimeDefault" } }).seccomp
      ?.kind,
    "runtime-default",
  );
  assert.equal(profiles({}).seccomp, undefined);
  refused({ linux: { security_context: { seccomp_profile_path: "what" } } }, /seccomp "what" is no profile/);
  refused(
    { linux: { security_context: { apparmor: { profile_type: "Localhost" } } } },
    /apparmor\.localhost_ref is empty/,
  );
});

test("mounts: one source, and what goes with it", () => {
  const mount = (part: Mount): ContainerConfigMessage => ({ mounts: [{ container_path: "/data", ...part }] });
  const plain = convert(mount({ host_path: "/srv", propagation: "PROPAGATION_BIDIRECTIONAL" })).mounts[0];
  assert.equal(plain?.propagation, "bidirectional");
  assert.equal(plain?.readonly, false);
  const image = convert(mount({ image: { image: "art:1" }, image_sub_path: "a/b", readonly: true }))
    .mounts[0];
  assert.equal(image?.readonly, true);
  assert.equal(image?.image?.image, "art:1");
  refused(mount({}), /config\.mounts\[0\]\.host_path is empty/);
  refused(mount({ host_path: "srv" }), /is not an absolute path/);
  refused(
    mount({ host_path: "/srv", container_path: "data" }),
    /container_path "data" is not an absolute path/,
  );
  refused(mount({ host_path: "/srv", image: { image: "a" } }), /host_path is given together with image/);
  refused(mount({ image: {} }), /mounts\[0\]\.image\.image is empty/);
  refused(mount({ image: { image: "a" }, readonly: true, image_sub_path: "../x" }), /image_sub_path/);
  refused(mount({ image: { image: "a" } }), /mounts\[0\]\.readonly is false, and an image volume is always/);
  refused(mount({ host_path: "/srv", image_sub_path: "x" }), /image_sub_path is given without image/);
  refused(
    mount({ host_path: "/srv", recursive_read_only: true }),
    /recursive_read_only is true, and readonly is not/,
  );
  refused(
    mount({ host_path: "/srv", readonly: true, recursive_read_only: true, propagation: 1 }),
    /propagation is not PROPAGATION_PRIVATE/,
  );
  refused(mount({ host_path: "/srv", uidMappings: [{ length: 1 }] }), /given together/);
  refused(mount({ host_path: "/srv", propagation: 9 as 0 }), /propagation has the unknown value 9/);
});

test("devices", () => {
  const device = (permissions: string): ContainerConfigMessage => ({
    devices: [{ container_path: "/dev/a", host_path: "/dev/b", permissions }],
  });
  assert.equal(convert(device("rw")).devices[0]?.permissions, "rw");
  assert.equal(convert(device("")).devices[0]?.permissions, "rwm");
  refused(device("rwx"), /devices\[0\]\.permissions/);
});

test("resources: exact, bounded, absent when absent", () => {
  const resources = (part: object): ContainerConfigMessage => ({ linux: { resources: part } });
  const given = convert(
    resources({ memory_limit_in_bytes: "4503599627370496", cpu_quota: -1, oom_score_adj: -998 }),
  );
  assert.equal(given.resources?.memoryLimitBytes, 4503599627370496);
  assert.equal(given.resources?.cpuQuotaUs, -1);
  assert.equal(given.resources?.oomScoreAdj, -998);
  refused(
    resources({ memory_limit_in_bytes: "9223372036854775807" }),
    /memory_limit_in_bytes .* below 2\^53/,
  );
  refused(resources({ cpu_period: -5 }), /cpu_period/);
  refused(resources({ oom_score_adj: 1001 }), /oom_score_adj is 1001/);
  refused(resources({ hugepage_limits: [{ limit: 1 }] }), /hugepage_limits\[0\]\.page_size is empty/);
});

test("stop signals: names both ways, unknown numbers refused", () => {
  assert.equal(convert({ stop_signal: "SIGNAL_SIGUSR1" }).stopSignal, "SIGUSR1");
  assert.equal(convert({ stop_signal: "SIGNAL_SIGRTMINPLUS15" }).stopSignal, "SIGRTMIN+15");
  assert.equal(convert({ stop_signal: "SIGNAL_SIGRTMAXMINUS14" }).stopSignal, "SIGRTMAX-14");
  assert.equal(convert({ stop_signal: "SIGNAL_SIGRTMAX" }).stopSignal, "SIGRTMAX");
  refused({ stop_signal: 99 as 0 }, /stop_signal has the unknown value 99/);
  for (const [ours, theirs] of [
    ["SIGTERM", "SIGNAL_SIGTERM"],
    ["SIGRTMAX-1", "SIGNAL_SIGRTMAXMINUS1"],
    ["SIGWHAT", "SIGNAL_RUNTIME_DEFAULT"],
  ] as const)
    assert.equal(
      containerStatusMessage({ ...sampleContainer, stopSignal: ours }, undefined).stop_signal,
      theirs,
    );
});

test("status: the same image id everywhere, exact times, the image's tag as its name", () => {
  const status = containerStatusMessage(sampleContainer, sampleImage);
  assert.equal(status.image_id, sampleImage.id);
  assert.equal(containerMessage(sampleContainer).image_id, sampleImage.id);
  assert.equal(status.image?.image, "docker.io/library/busybox:latest");
  assert.equal(status.finished_at, "1763700002000000003");
  assert.equal(status.reason, "OOMKilled");
  const gone = containerStatusMessage(sampleContainer, undefined);
  assert.equal(gone.image?.image, "busybox:latest");
});

test("what was asked for as a mount comes back the same", () => {
  const mounts: Mount[] = [
    {
      container_path: "/a",
      host_path: "/b",
      readonly: true,
      propagation: "PROPAGATION_HOST_TO_CONTAINER",
      uidMappings: [{ host_id: 100, container_id: 0, length: 10 }],
      gidMappings: [{ host_id: 100, container_id: 0, length: 10 }],
      mount_options: ["noexec"],
    },
    { container_path: "/c", readonly: true, image: { image: "x" }, image_sub_path: "y" },
  ];
  const config = convert({ mounts });
  const status = containerStatusMessage({ ...sampleContainer, config }, undefined);
  assert.deepEqual(received({ mounts: status.mounts ?? [] }).mounts, received({ mounts }).mounts);
});

test("filters hold only what was given", () => {
  const filter: ContainerFilter__Output = { id: "", state: null, pod_sandbox_id: "", label_selector: {} };
  assert.deepEqual(containerFilter(null), {});
  assert.deepEqual(containerFilter(filter), { labels: {} });
  assert.deepEqual(containerFilter({ ...filter, id: "ab", state: { state: "CONTAINER_CREATED" } }), {
    id: "ab",
    state: "created",
    labels: {},
  });
});
