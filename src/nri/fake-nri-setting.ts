/** For tests of plugins: the engine on fake parts, NRI on a socket, and plugins that connect to it. */
import { join } from "node:path";
import { silentLogger } from "../base/logger.ts";
import { createEngine } from "../engine/create-engine.ts";
import type { Engine } from "../engine/engine.ts";
import { FakeParts } from "../engine/fake-parts.ts";
import type { Spec } from "../engine/lifecycle-hooks.ts";
import { podConfig } from "../engine/sample-config.ts";
import { FakePlugin } from "./fake-plugin.ts";
import { createNri, type Nri, type NriOptions } from "./nri.ts";

export const never = new AbortController().signal;

export class NriSetting {
  readonly parts: FakeParts;
  readonly engine: Engine;
  readonly socketPath: string;
  readonly plugins: FakePlugin[] = [];
  readonly #nri: Nri;

  private constructor(parts: FakeParts, socketPath: string, nri: Nri, engine: Engine) {
    this.parts = parts;
    this.socketPath = socketPath;
    this.#nri = nri;
    this.engine = engine;
  }

  static async begin(more: Partial<NriOptions> = {}): Promise<NriSetting> {
    const parts = new FakeParts();
    const socketPath = join(parts.directory, "nri/nri.sock");
    const nri = createNri({
      log: silentLogger,
      runtime: { name: "gantry", version: "1" },
      socketPath,
      freeSocketPath: () => Promise.resolve(),
      pluginDirectory: join(parts.directory, "plugins"),
      recordDirectory: join(parts.directory, "nri/launched"),
      configDirectory: join(parts.directory, "conf.d"),
      // No good plugin is ever dropped on a busy machine.
      timeouts: { registrationMs: 20_000, requestMs: 20_000 },
      validator: {
        enable: false,
        rejectOciHooks: false,
        rejectRuntimeDefaultSeccomp: false,
        rejectUnconfinedSeccomp: false,
        rejectCustomSeccomp: false,
        rejectNamespaces: false,
        rejectSysctls: false,
        requiredPlugins: [],
        tolerateMissingAnnotation: "",
      },
      ...more,
    });
    const handlers = [{ name: "", recursiveReadOnlyMounts: true, userNamespaces: true }];
    const engine = await createEngine({ ...parts.options(), handlers, hooks: nri });
    await nri.start();
    return new NriSetting(parts, socketPath, nri, engine);
  }

  async end(): Promise<void> {
    for (const plugin of this.plugins) plugin.close();
    await this.#nri.close();
    await this.engine.close();
    this.parts.remove();
  }

  /** Connects a plugin and waits until it has been synchronized. */
  async join(name: string, answers: FakePlugin["answers"] = {}): Promise<FakePlugin> {
    const plugin = await FakePlugin.join(this.socketPath, name, answers);
    this.plugins.push(plugin);
    return plugin;
  }

  /** Connects one that does nothing yet. */
  connect(answers: FakePlugin["answers"] = {}): FakePlugin {
    const plugin = new FakePlugin(this.socketPath, answers);
    this.plugins.push(plugin);
    return plugin;
  }

  pod(name: string): Promise<string> {
    const metadata = { name, uid: name, namespace: "n", attempt: 0 };
    return this.engine.runPodSandbox(podConfig({ metadata }), "", never);
  }

  spec(id: string): Spec {
    return this.engine.verboseContainer(id)["runtimeSpec"] as Spec;
  }
}

/** Of a container's configuration. */
export function named(name: string): { metadata: { name: string; attempt: number } } {
  return { metadata: { name, attempt: 0 } };
}
