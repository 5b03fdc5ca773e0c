/**
 * The Node Resource Interface: plugins that are told of pods and containers, and may change containers as they are
 * created. This is the engine's lifecycle hooks on one side and calls to the plugins on the other.
 *
 *   const nri = createNri(options);
 *   const engine = await createEngine({ …, hooks: nri });
 *   await nri.start();      plugins of the directory, then the socket
 *   …
 *   await nri.close();
 */
import { errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type {
  HookedContainer,
  HookedPod,
  LifecycleControl,
  LifecycleHooks,
  ResourceChange,
} from "../engine/lifecycle-hooks.ts";
import type { LinuxResources } from "../engine/resources.ts";
import { ContainerCreation } from "./container-creation.ts";
import { ContainerUpdates } from "./container-updates.ts";
import type { DefaultValidatorOptions } from "./default-validator.ts";
import type { EventCall } from "./events.ts";
import type { UpdateContainersIn, UpdateIn } from "./messages.ts";
import type { Plugin } from "./plugin.ts";
import type { PluginChain } from "./plugin-chain.ts";
import { PluginHost, type PluginHostOptions } from "./plugin-host.ts";
import { limitsMessage } from "./resources.ts";
import { containerMessage, podMessage } from "./subjects.ts";

export interface NriOptions extends PluginHostOptions {
  validator: DefaultValidatorOptions;
}

export interface Nri extends LifecycleHooks {
  /** Starts the plugins of the directory and listens. What fails is told and keeps nobody from serving. */
  start(): Promise<void>;
  /** Ends all plugins. */
  close(): Promise<void>;
}

const never = new AbortController().signal;

export function createNri(options: NriOptions): Nri {
  return new NriHooks(options);
}

class NriHooks implements Nri {
  readonly #validator: DefaultValidatorOptions;
  readonly #log: Logger;
  readonly #host: PluginHost;
  readonly #chain: PluginChain;

  constructor(options: NriOptions) {
    this.#validator = options.validator;
    this.#log = options.log;
    this.#host = new PluginHost(options);
    this.#chain = this.#host.chain;
  }

  attach(control: LifecycleControl): void {
    this.#host.attach(control);
  }

  start(): Promise<void> {
    return this.#host.start();
  }

  close(): Promise<void> {
    return this.#host.close();
  }

  async runPodSandbox(pod: HookedPod, commit: () => void, signal: AbortSignal): Promise<void> {
    if (this.#chain.indifferent("RunPodSandbox")) return commit();
    await this.#chain.exclusive(signal, async () => {
      const asked: Plugin[] = [];
      try {
        for (const plugin of this.#chain.subscribers("RunPodSandbox")) {
          asked.push(plugin);
          await plugin.request("RunPodSandbox", { pod: podMessage(pod) });
        }
        commit();
      } catch (error) {
        await this.#tell("RemovePodSandbox", () => ({ pod: podMessage(pod) }), asked);
        throw error;
      }
    });
  }

  async updatePodSandbox(
    pod: HookedPod,
    overhead: LinuxResources | undefined,
    resources: LinuxResources | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#chain.indifferent("UpdatePodSandbox")) return;
    await this.#chain.exclusive(signal, async () => {
      for (const plugin of this.#chain.subscribers("UpdatePodSandbox"))
        await plugin.request("UpdatePodSandbox", {
          pod: podMessage(pod),
          overhead_linux_resources: limitsMessage(overhead),
          linux_resources: limitsMessage(resources),
        });
    });
  }

  postUpdatePodSandbox(pod: HookedPod): Promise<void> {
    return this.#notify("PostUpdatePodSandbox", () => ({ pod: podMessage(pod) }));
  }

  stopPodSandbox(pod: HookedPod): Promise<void> {
    return this.#notify("StopPodSandbox", () => ({ pod: podMessage(pod) }));
  }

  removePodSandbox(pod: HookedPod, commit: () => void): Promise<void> {
    return this.#notify("RemovePodSandbox", () => ({ pod: podMessage(pod) }), commit);
  }

  async createContainer(
    subject: HookedContainer,
    commit: Parameters<LifecycleHooks["createContainer"]>[1],
    signal: AbortSignal,
  ): Promise<void> {
    if (!this.#validator.enable && this.#chain.indifferent("CreateContainer", "ValidateContainerAdjustment"))
      return commit(undefined);
    const updates = new ContainerUpdates({ id: subject.container.id, exists: false });
    await this.#chain.exclusive(signal, async () => {
      const creation = new ContainerCreation(subject, updates);
      try {
        for (const plugin of this.#chain.subscribers("CreateContainer")) await creation.ask(plugin);
        await creation.validate(this.#chain, this.#validator);
        await commit(creation.result());
      } catch (error) {
        await this.#tell("RemoveContainer", () => containerEvent(subject), creation.asked);
        throw error;
      }
    });
    await updates.apply(this.#host.control, this.#log);
  }

  postCreateContainer(container: HookedContainer): Promise<void> {
    return this.#notify("PostCreateContainer", () => containerEvent(container));
  }

  async startContainer(container: HookedContainer, commit: () => void, signal: AbortSignal): Promise<void> {
    if (this.#chain.indifferent("StartContainer")) return commit();
    await this.#chain.exclusive(signal, async () => {
      const asked: Plugin[] = [];
      try {
        for (const plugin of this.#chain.subscribers("StartContainer")) {
          asked.push(plugin);
          await plugin.request("StartContainer", containerEvent(container));
        }
        commit();
      } catch (error) {
        await this.#tell("StopContainer", () => containerEvent(container), asked);
        throw error;
      }
    });
  }

  postStartContainer(container: HookedContainer): Promise<void> {
    return this.#notify("PostStartContainer", () => containerEvent(container));
  }

  async updateContainer(
    container: HookedContainer,
    resources: LinuxResources,
    signal: AbortSignal,
  ): Promise<ResourceChange> {
    if (this.#chain.indifferent("UpdateContainer")) return { limits: resources, further: {} };
    const updates = new ContainerUpdates({ id: container.container.id, exists: true });
    await this.#chain.exclusive(signal, async () => {
      const message = { ...containerEvent(container), linux_resources: limitsMessage(resources) };
      for (const plugin of this.#chain.subscribers("UpdateContainer"))
        await this.#collect(plugin, "UpdateContainer", message, updates);
    });
    const changed = updates.takeSubject(resources);
    await updates.apply(this.#host.control, this.#log);
    return changed;
  }

  postUpdateContainer(container: HookedContainer): Promise<void> {
    return this.#notify("PostUpdateContainer", () => containerEvent(container));
  }

  async stopContainer(container: HookedContainer): Promise<void> {
    if (this.#chain.indifferent("StopContainer")) return;
    const updates = new ContainerUpdates();
    await this.#chain.exclusive(never, async () => {
      for (const plugin of this.#chain.subscribers("StopContainer"))
        await told(plugin, "StopContainer", () =>
          this.#collect(plugin, "StopContainer", containerEvent(container), updates),
        );
    });
    try {
      await updates.apply(this.#host.control, this.#log);
    } catch (error) {
      this.#log.warn({ containerId: container.container.id, err: errorMessage(error) }, "an update failed");
    }
  }

  removeContainer(container: HookedContainer, commit: () => void): Promise<void> {
    return this.#notify("RemoveContainer", () => containerEvent(container), commit);
  }

  /** Asks for updates in answer to an event. */
  async #collect(plugin: Plugin, call: EventCall, message: object, updates: ContainerUpdates): Promise<void> {
    type Reply = { update: UpdateIn[] } & Partial<Pick<UpdateContainersIn, "evict">>;
    const reply = await plugin.request<Reply>(call, message);
    if (!reply) return;
    updates.add(reply.update, plugin.name);
    updates.evict(reply.evict ?? [], plugin.name);
  }

  /** Tells of what cannot be refused, and then has it happen. */
  async #notify(call: EventCall, message: () => object, commit?: () => void): Promise<void> {
    if (this.#chain.indifferent(call)) return commit?.();
    await this.#chain.exclusive(never, async () => {
      await this.#tell(call, message, this.#chain.subscribers(call));
      commit?.();
    });
  }

  async #tell(call: EventCall, message: () => object, plugins: readonly Plugin[]): Promise<void> {
    for (const plugin of plugins)
      if (plugin.wants(call)) await told(plugin, call, () => plugin.request(call, message()));
  }
}

/** What cannot be refused any more: an error is for the log. */
async function told(plugin: Plugin, call: EventCall, tell: () => Promise<unknown>): Promise<void> {
  try {
    await tell();
  } catch (error) {
    plugin.log.warn({ err: errorMessage(error) }, `${call} failed`);
  }
}

function containerEvent(subject: HookedContainer): { pod: object; container: object } {
  return { pod: podMessage(subject.pod), container: containerMessage(subject) };
}
