/** Pods and containers through the CRI in few words, for tests that look at what is in them. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type CriClient, criClient } from "../../src/cri/client.ts";
import { patient } from "./patience.ts";
import { BUSYBOX, containerConfig, podConfig, type Setting } from "./setting.ts";

export interface TestPod {
  id: string;
  config: object;
}

export interface Executed {
  stdout: string;
  stderr: string;
  exitCode: number;
}

/** Runs until it is told to end, and takes the orphans of others, as a first process should. */
export const FOREVER = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"];

export class Workload {
  readonly client: CriClient;
  readonly logDirectory: string;

  private constructor(client: CriClient, logDirectory: string) {
    this.client = client;
    this.logDirectory = logDirectory;
  }

  /** Connects, and pulls the busybox image. */
  static async begin({ daemon }: Setting): Promise<Workload> {
    const workload = new Workload(criClient(daemon.endpoint), daemon.path("logs"));
    await mkdir(workload.logDirectory, { recursive: true });
    await workload.client.PullImage({ image: { image: BUSYBOX } });
    return workload;
  }

  end(): void {
    this.client.close();
  }

  /** @param more fields of the configuration beside name and log directory. */
  async pod(name: string, more: object = {}, runtime_handler = ""): Promise<TestPod> {
    const config = podConfig(name, { log_directory: this.logDirectory, ...more });
    const { pod_sandbox_id } = await this.client.RunPodSandbox({ config, runtime_handler });
    return { id: pod_sandbox_id, config };
  }

  /** Uses a pod and removes it, however that ends. @param more, handler as of pod. */
  async inPod(
    name: string,
    more: object,
    use: (pod: TestPod) => Promise<void>,
    handler?: string,
  ): Promise<void> {
    const pod = await this.pod(name, more, handler);
    try {
      await use(pod);
    } finally {
      await this.remove(pod);
    }
  }

  async create(pod: TestPod, name: string, command: string[], more: object = {}): Promise<string> {
    const config = containerConfig(name, command, more);
    const request = { pod_sandbox_id: pod.id, config, sandbox_config: pod.config };
    return (await this.client.CreateContainer(request)).container_id;
  }

  /** Creates and starts one. */
  async run(pod: TestPod, name: string, command = FOREVER, more: object = {}): Promise<string> {
    const id = await this.create(pod, name, command, more);
    await this.client.StartContainer({ container_id: id });
    return id;
  }

  /** In a container, with a shell. */
  async exec(id: string, script: string, timeoutSeconds = 0): Promise<Executed> {
    const reply = await this.client.ExecSync({
      container_id: id,
      cmd: ["sh", "-c", script],
      timeout: timeoutSeconds,
    });
    const { stdout, stderr, exit_code } = reply;
    return { stdout: stdout.toString(), stderr: stderr.toString(), exitCode: exit_code };
  }

  /** Standard output of a script that ends well, without the last line feed. */
  async read(id: string, script: string): Promise<string> {
    const { stdout, stderr, exitCode } = await this.exec(id, script);
    assert.equal(exitCode, 0, `${script}: ${stderr}`);
    return stdout.replace(/\n$/, "");
  }

  async status(id: string): Promise<{ state: string; exitCode: number; reason: string }> {
    const { status } = await this.client.ContainerStatus({ container_id: id });
    assert.ok(status);
    return { state: status.state, exitCode: status.exit_code, reason: status.reason };
  }

  /** Waits for the container's end. */
  async exited(id: string, timeoutMs = patient(30_000)): Promise<{ exitCode: number; reason: string }> {
    for (const end = performance.now() + timeoutMs; performance.now() < end; await sleep(20)) {
      const { state, exitCode, reason } = await this.status(id);
      if (state === "CONTAINER_EXITED") return { exitCode, reason };
    }
    throw new Error(`container ${id} did not exit in time`);
  }

  async remove(pod: TestPod): Promise<void> {
    await this.client.RemovePodSandbox({ pod_sandbox_id: pod.id });
  }
}
