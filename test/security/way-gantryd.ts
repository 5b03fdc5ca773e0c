/** Attacks through the CRI: each is an image of its own, pulled from a registry, run in a pod. See way.ts. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import {
  type ImageSettings,
  type Layer,
  type LayerEntry,
  layerOf,
  pushImage,
} from "../harness/image-builder.ts";
import { makeSetting, type Setting } from "../harness/setting.ts";
import { type TestPod, Workload } from "../harness/workload.ts";
import { shellCommand } from "./way-gantry-oci.ts";
import { type Attack, baseEntries, type Outcome, type RunningAttack, type Way } from "./way.ts";

const [RUNTIME_DEFAULT, UNCONFINED] = [0, 1];

export class Gantryd implements Way {
  readonly name = "gantryd";
  readonly setting: Setting;
  readonly work: Workload;
  readonly pod: TestPod;
  readonly #base: Layer;
  readonly #images = new Map<string, string>();
  #count = 0;

  private constructor(setting: Setting, work: Workload, pod: TestPod) {
    this.setting = setting;
    this.work = work;
    this.pod = pod;
    this.#base = layerOf(baseEntries());
  }

  static async open(): Promise<Gantryd> {
    const setting = await makeSetting({ network: "none" });
    const work = await Workload.begin(setting);
    const pod = await work.pod("attacked", {
      linux: { security_context: { namespace_options: { pid: 1 } } },
    });
    return new Gantryd(setting, work, pod);
  }

  /** A reference by which the image can be used. */
  async image(entries: readonly LayerEntry[], settings: ImageSettings = {}): Promise<string> {
    const key = JSON.stringify([entries, settings]);
    const known = this.#images.get(key);
    if (known !== undefined) return known;
    const name = `attack-${this.#images.size}`;
    const layers = entries.length > 0 ? [this.#base, layerOf(entries)] : [this.#base];
    await pushImage(this.setting.registry.host, `${name}:1`, layers, {
      Env: ["PATH=/bin"],
      Cmd: ["/bin/sh"],
      ...settings,
    });
    const image = `registry.k8s.io/${name}:1`;
    await this.work.client.PullImage({ image: { image } });
    this.#images.set(key, image);
    return image;
  }

  async #create(attack: Attack, settings: ImageSettings = {}, more: object = {}): Promise<[string, string]> {
    const name = `a${++this.#count}`;
    const { capabilities = [], user } = attack;
    const security_context = {
      capabilities: { add_capabilities: capabilities },
      ...(user && { run_as_user: { value: String(user.uid) }, run_as_group: { value: String(user.gid) } }),
      // AppArmor would keep much of it from reaching what is to stand by itself.
      apparmor: { profile_type: UNCONFINED },
      ...(attack.seccomp && { seccomp: { profile_type: RUNTIME_DEFAULT } }),
    };
    const id = await this.work.create(this.pod, name, shellCommand(attack.command), {
      image: { image: await this.image(attack.image ?? [], settings) },
      tty: attack.terminal ?? false,
      ...(attack.cwd !== undefined && { working_dir: attack.cwd }),
      mounts: (attack.mounts ?? []).map(({ hostPath, containerPath, readonly }) => ({
        host_path: hostPath,
        container_path: containerPath,
        readonly: readonly ?? false,
      })),
      linux: { security_context },
      ...more,
    });
    return [id, this.setting.daemon.path("logs", `${name}.log`)];
  }

  async #attempt(attack: Attack, settings?: ImageSettings, more?: object): Promise<Outcome> {
    let id: string | undefined;
    try {
      const [created, log] = await this.#create(attack, settings, more);
      id = created;
      await this.work.client.StartContainer({ container_id: id });
      const { exitCode } = await this.work.exited(id);
      return { refused: undefined, output: await readLog(log), exitCode };
    } catch (error) {
      return { refused: error instanceof Error ? error.message : String(error), output: "", exitCode: -1 };
    } finally {
      if (id !== undefined) await this.work.client.RemoveContainer({ container_id: id });
    }
  }

  run(attack: Attack): Promise<Outcome> {
    return this.#attempt(attack);
  }

  runImage(image: readonly LayerEntry[], settings: ImageSettings, container: object = {}): Promise<Outcome> {
    return this.#attempt({ image, command: [] }, settings, container);
  }

  async start(attack: Attack): Promise<RunningAttack> {
    const [container_id, log] = await this.#create(attack);
    await this.work.client.StartContainer({ container_id });
    const { info } = await this.work.client.ContainerStatus({ container_id, verbose: true });
    const { pid } = JSON.parse(info["info"] ?? "{}") as { pid: number };
    assert.ok(pid > 0);
    return {
      pid,
      exec: async (command, options = {}) => {
        assert.equal(options.cwd, undefined, "an exec of the CRI has the container's directory");
        return this.#exec(container_id, shellCommand(command));
      },
      output: () => readLog(log),
      end: async () => {
        await this.work.client.StopContainer({ container_id, timeout: "0" });
        const output = await readLog(log);
        await this.work.client.RemoveContainer({ container_id });
        return output;
      },
    };
  }

  async #exec(container_id: string, cmd: string[]): Promise<Outcome> {
    try {
      const reply = await this.work.client.ExecSync({ container_id, cmd });
      const output = Buffer.concat([reply.stdout, reply.stderr]).toString();
      return { refused: undefined, output, exitCode: reply.exit_code };
    } catch (error) {
      return { refused: error instanceof Error ? error.message : String(error), output: "", exitCode: -1 };
    }
  }

  async close(): Promise<void> {
    this.work.end();
    await this.setting.finish();
  }
}

/** Both streams, without times and tags. */
async function readLog(path: string): Promise<string> {
  const text = await readFile(path, "latin1");
  return text.replaceAll(/^\S+ std(?:out|err) [PF] /gm, "");
}

export const openGantryd = (): Promise<Way> => Gantryd.open();
