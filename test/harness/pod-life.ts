/**
 * One whole life of a pod through the CRI, each step asserted. Its calls may be made through a keeper, so that the
 * daemon may die in any of them: what a call has promised then still holds, and the repeated call gives the same.
 */
import assert from "node:assert/strict";
import type { CriClient } from "../../src/cri/client.ts";
import { freePort } from "./free-port.ts";
import { BUSYBOX, containerConfig, podConfig } from "./setting.ts";

/** Makes one call; it is repeated where the daemon has died in it. */
export type Caller = <T>(
  work: (client: CriClient, options: { timeoutMs: number }) => Promise<T>,
) => Promise<T>;

export interface PodLifeOptions {
  name: string;
  logDirectory: string;
  /** On the host's network, and without a pause process; else a pod network, port mappings and a shared PID namespace. */
  plain?: boolean;
  /** In a user namespace of its own. */
  userNamespace?: boolean;
  /** Default: the default one. */
  runtimeHandler?: string;
  /** A CDI device for one of its containers. */
  device?: string;
}

const TRAP = "trap 'exit 7' TERM; touch /up; while :; do sleep 0.02; done";

/** Waits for that, too: before it is ready to, the first process does not end as it is told to. */
const SCRIPT = "until [ -e /up ]; do sleep 0.02; done; [ -f /image/passwd ] && echo out; exit 3";

export async function podLife(call: Caller, options: PodLifeOptions): Promise<void> {
  const { name } = options;
  const config = await lifeConfig(options);
  const create = async (container: string, command: string[], more: object = {}): Promise<string> => {
    const request = {
      pod_sandbox_id: pod,
      config: containerConfig(container, command, more),
      sandbox_config: config,
    };
    return (await call((cri, limit) => cri.CreateContainer(request, limit))).container_id;
  };
  const status = async (id: string) => {
    const reply = await call((cri, limit) => cri.ContainerStatus({ container_id: id }, limit));
    const { state, exit_code, reason } = reply.status ?? {};
    return { state, exit_code, reason };
  };

  const request = { config, runtime_handler: options.runtimeHandler ?? "" };
  const { pod_sandbox_id: pod } = await call((cri, limit) => cri.RunPodSandbox(request, limit));
  const filter = { label_selector: { app: name } };
  const pods = await call((cri, limit) => cri.ListPodSandbox({ filter }, limit));
  assert.deepEqual(
    pods.items.map(({ id, state }) => [id, state]),
    [[pod, "SANDBOX_READY"]],
  );

  const volume = {
    container_path: "/image",
    image: { image: BUSYBOX },
    image_sub_path: "etc",
    readonly: true,
  };
  const CDI_devices = options.device === undefined ? [] : [{ name: options.device }];
  const main = await create("main", ["sh", "-c", TRAP], { mounts: [volume], CDI_devices });
  const broken = await create("broken", ["/no/such/command"]);
  const straggler = await create("straggler", ["sh", "-c", "trap '' TERM; while :; do sleep 0.02; done"]);
  const all = await call((cri, limit) => cri.ListContainers({ filter: { pod_sandbox_id: pod } }, limit));
  assert.deepEqual(all.containers.map(({ id }) => id).toSorted(), [main, broken, straggler].toSorted());
  assert.equal((await status(main)).state, "CONTAINER_CREATED");

  for (const container_id of [main, straggler])
    await call((cri, limit) => cri.StartContainer({ container_id }, limit));
  assert.equal((await status(main)).state, "CONTAINER_RUNNING");
  await assert.rejects(
    call((cri, limit) => cri.StartContainer({ container_id: broken }, limit)),
    /no\/such\/command|not created/,
  );
  assert.deepEqual(await status(broken), { state: "CONTAINER_EXITED", exit_code: 128, reason: "StartError" });

  const exec = { container_id: main, cmd: ["sh", "-c", SCRIPT] };
  const said = await call((cri, limit) => cri.ExecSync(exec, limit));
  assert.deepEqual([said.stdout.toString(), said.exit_code], ["out\n", 3]);

  const update = { container_id: main, linux: { cpu_shares: 345 } };
  await call((cri, limit) => cri.UpdateContainerResources(update, limit));
  const updated = await call((cri, limit) => cri.ContainerStatus({ container_id: main }, limit));
  assert.equal(updated.status?.resources?.linux?.cpu_shares, "345");

  await call((cri, limit) => cri.StopContainer({ container_id: main, timeout: 20 }, limit));
  assert.deepEqual(await status(main), { state: "CONTAINER_EXITED", exit_code: 7, reason: "Error" });
  for (const container_id of [main, broken])
    await call((cri, limit) => cri.RemoveContainer({ container_id }, limit));
  assert.equal((await status(straggler)).state, "CONTAINER_RUNNING");

  await call((cri, limit) => cri.StopPodSandbox({ pod_sandbox_id: pod }, limit));
  assert.deepEqual(await status(straggler), { state: "CONTAINER_EXITED", exit_code: 137, reason: "Error" });
  const stopped = await call((cri, limit) => cri.PodSandboxStatus({ pod_sandbox_id: pod }, limit));
  assert.equal(stopped.status?.state, "SANDBOX_NOTREADY");
  await call((cri, limit) => cri.RemovePodSandbox({ pod_sandbox_id: pod }, limit));
  const left = await call((cri, limit) => cri.ListContainers({ filter: { pod_sandbox_id: pod } }, limit));
  assert.deepEqual(left.containers, []);
}

/** Pulls the image and removes it again. */
export async function imageLife(call: Caller, image: string): Promise<void> {
  const request = { image: { image } };
  const { image_ref } = await call((cri, limit) => cri.PullImage(request, limit));
  const found = await call((cri, limit) => cri.ImageStatus(request, limit));
  assert.equal(found.image?.id, image_ref);
  await call((cri, limit) => cri.RemoveImage(request, limit));
  assert.equal((await call((cri, limit) => cri.ImageStatus(request, limit))).image, null);
}

async function lifeConfig({ name, logDirectory, plain, userNamespace }: PodLifeOptions): Promise<object> {
  const mapping = [{ container_id: 0, host_id: 320_000, length: 65_536 }];
  const options = {
    ...(plain ? { network: 2, pid: 1 } : { network: 0, pid: 0 }),
    ...(userNamespace && { userns_options: { mode: 0, uids: mapping, gids: mapping } }),
  };
  const port = await freePort();
  const ports = [
    { protocol: 0, container_port: 80, host_port: port, host_ip: "" },
    { protocol: 1, container_port: 53, host_port: port, host_ip: "127.0.0.1" },
  ];
  return podConfig(name, {
    ...(plain ? { hostname: "" } : { port_mappings: ports }),
    log_directory: logDirectory,
    linux: { security_context: { namespace_options: options } },
  });
}
