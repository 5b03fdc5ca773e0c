/**
 * Every request, whole and then with each of its parts missing or empty, with each enum out of its range and each
 * number at its limits: the server may refuse it, and must not fail over it (CVE-2024-23650).
 */
import assert from "node:assert/strict";
import test from "node:test";
import { status, type ServiceError } from "@grpc/grpc-js";
import protobuf from "protobufjs/light.js";
import { fakeEngine, sampleContainer, sampleImage, samplePodSandbox } from "./fake-engine.ts";
import { GantryError } from "../base/errors.ts";
import type { Container } from "../engine/container.ts";
import { messageType, imageServiceDefinition, runtimeServiceDefinition } from "./protocol.ts";
import { serveForTest } from "./serve-for-test.ts";

/** What makes a request with everything in it a valid one. By "Message.field", or by the field alone. */
const VALUES: Record<string, unknown> = {
  "Mount.host_path": "",
  "IDMapping.container_id": 0,
  "LinuxContainerSecurityContext.run_as_username": "",
  "LinuxContainerSecurityContext.apparmor_profile": "unconfined",
  "LinuxContainerResources.oom_score_adj": "5",
  "ContainerConfig.working_dir": "/",
  "ImageSpec.image": sampleImage.id,
  "ImageSpec.runtime_handler": "",
  "PodSandboxFilter.id": samplePodSandbox.id,
  "ContainerFilter.id": sampleContainer.id,
  "ExecRequest.stderr": false,
  "AttachRequest.tty": false,
  container_id: sampleContainer.id,
  pod_sandbox_id: samplePodSandbox.id,
  container_path: "/c",
  host_path: "/h",
  log_directory: "/var/log/pods",
  log_path: "main/0.log",
  image_sub_path: "sub",
  host_ip: "127.0.0.1",
  permissions: "rw",
  localhost_ref: "/profile.json",
  seccomp_profile_path: "unconfined",
};

function whole(type: protobuf.Type): Record<string, unknown> {
  const message: Record<string, unknown> = {};
  for (const field of type.fieldsArray.map((each) => each.resolve())) {
    const value = fieldValue(type, field);
    message[field.name] =
      field instanceof protobuf.MapField ? { key: value } : field.repeated ? [value] : value;
  }
  return message;
}

function fieldValue(type: protobuf.Type, field: protobuf.Field): unknown {
  if (field.resolvedType instanceof protobuf.Type) return whole(field.resolvedType);
  const chosen = VALUES[`${type.name}.${field.name}`] ?? VALUES[field.name];
  if (chosen !== undefined) return chosen;
  if (field.resolvedType) return 0;
  switch (field.type) {
    case "string":
      return "x";
    case "bytes":
      return Buffer.from("x");
    case "bool":
      return true;
    default:
      return 1;
  }
}

/** The message with one thing in it changed, for each thing; told by its path. */
function* variants(message: Record<string, unknown>, type: protobuf.Type): Generator<[string, object]> {
  for (const field of type.fieldsArray) {
    const set = (value: unknown): object => ({ ...message, [field.name]: value });
    const wrap = (value: unknown): unknown => (field.repeated ? [value] : value);
    yield [`${field.name} missing`, set(undefined)];
    if (field instanceof protobuf.MapField) {
      yield [`${field.name} with an empty entry`, set({ "": "" })];
    } else if (field.resolvedType instanceof protobuf.Type) {
      yield [`${field.name} empty`, set(wrap({}))];
      if (field.repeated) yield [`${field.name} many`, set([{}, {}, {}])];
      const inner = message[field.name];
      const part = (field.repeated ? (inner as unknown[])[0] : inner) as Record<string, unknown>;
      for (const [path, changed] of variants(part, field.resolvedType))
        yield [`${field.name}.${path}`, set(wrap(changed))];
    } else {
      for (const value of extremes(field)) yield [`${field.name} = ${String(value)}`, set(wrap(value))];
    }
  }
}

function extremes(field: protobuf.Field): unknown[] {
  if (field.resolvedType) return [77, -1];
  switch (field.type) {
    case "string":
      return ["", "..", "/", "\0", "\ud800", "__proto__", "x".repeat(5000)];
    case "bytes":
      return [Buffer.from([0xff])];
    case "int64":
      return ["9223372036854775807", "-9223372036854775808"];
    case "uint64":
      return ["18446744073709551615"];
    case "int32":
      return [2147483647, -2147483648];
    case "uint32":
      return [4294967295];
    default:
      return [false];
  }
}

/** Exec and Attach want it running. */
function runningContainer(id: string): Container {
  if (!sampleContainer.id.startsWith(id)) throw new GantryError("not-found", "another container");
  return { ...sampleContainer, state: "running" };
}

const definitions = Object.entries({ ...runtimeServiceDefinition, ...imageServiceDefinition });

for (const [rpc, method] of definitions) {
  test(`${rpc} with parts missing`, async () => {
    const errors: unknown[] = [];
    await using served = await serveForTest(fakeEngine({ container: runningContainer }));
    const type = messageType(rpc === "GetContainerEvents" ? "GetEventsRequest" : `${rpc}Request`);
    const call = served.client[rpc as "Version"] as (request: object) => Promise<unknown>;
    const outcome = async (request: object): Promise<status> => {
      try {
        await call(request);
        return status.OK;
      } catch (error) {
        errors.push(error);
        return (error as ServiceError).code;
      }
    };
    const complete = whole(type);
    const code = await outcome(complete);
    assert.ok(
      code === status.OK || code === status.UNIMPLEMENTED,
      `whole: ${(errors[0] as ServiceError | undefined)?.message ?? ""}`,
    );
    const allowed = [status.OK, status.INVALID_ARGUMENT, status.NOT_FOUND, status.UNIMPLEMENTED];
    for (const [path, request] of variants(complete, type)) {
      const answer = await outcome(request);
      assert.ok(allowed.includes(answer), `${path}: ${status[answer]} ${String(errors.at(-1))}`);
    }
    assert.equal(method.path.endsWith(`/${rpc}`), true);
    await served.client.Version({});
  });
}
