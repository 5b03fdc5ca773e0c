/**
 * Where plugins come from and go to: those of the directory are started, others connect; each is taken in by the same
 * handshake, and ends by itself, by a fault of its own, or with the daemon.
 */
import type { Socket } from "node:net";
import { errorKind, errorMessage, GantryError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { HookedContainer, HookedPod, LifecycleControl } from "../engine/lifecycle-hooks.ts";
import { applyUpdate, ContainerUpdates } from "./container-updates.ts";
import type { UpdateContainersIn, UpdateIn, UpdateMessage } from "./messages.ts";
import { Plugin, type PluginTimeouts } from "./plugin.ts";
import { PluginChain } from "./plugin-chain.ts";
import { HungPlugins } from "./hung-plugins.ts";
import { LaunchRecords } from "./launch-records.ts";
import { findPlugins, type LaunchedPlugin, launchPlugin, type PluginFile } from "./plugin-launch.ts";
import { type PluginServer, servePlugins } from "./plugin-server.ts";
import { containerMessage, podMessage } from "./subjects.ts";
import { PEER_LEFT } from "./ttrpc-connection.ts";

export interface PluginHostOptions {
  log: Logger;
  /** What plugins are told of the runtime. */
  runtime: { name: string; version: string };
  /** Where plugins connect; undefined: none may. */
  socketPath: string | undefined;
  /** Makes the path of a socket free where nobody listens there, rejects where somebody does. */
  freeSocketPath: (path: string) => Promise<void>;
  pluginDirectory: string;
  configDirectory: string;
  /** Of this daemon and those after it: keeps track of the plugins that were started. */
  recordDirectory: string;
  timeouts: PluginTimeouts;
}

const never = new AbortController().signal;

export class PluginHost {
  readonly chain = new PluginChain();
  readonly #options: PluginHostOptions;
  readonly #log: Logger;
  readonly #plugins = new Set<Plugin>();
  readonly #processes = new Set<LaunchedPlugin>();
  readonly #records: LaunchRecords;
  readonly #hung: HungPlugins;
  #control: LifecycleControl | undefined;
  #server: PluginServer | undefined;
  #closing = false;

  constructor(options: PluginHostOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#hung = new HungPlugins(2 * options.timeouts.registrationMs);
    this.#records = new LaunchRecords(options.recordDirectory);
  }

  attach(control: LifecycleControl): void {
    this.#control = control;
  }

  /** What plugins' wishes are done with. */
  get control(): LifecycleControl {
    if (!this.#control) throw new GantryError("internal", "the hooks are not attached to an engine");
    return this.#control;
  }

  async start(): Promise<void> {
    const { pluginDirectory, configDirectory, socketPath, freeSocketPath } = this.#options;
    try {
      this.#records.endAll(this.#log);
      const files = await findPlugins(pluginDirectory, configDirectory, this.#log);
      await Promise.all(files.map((file) => this.#launch(file)));
    } catch (error) {
      this.#log.error({ err: errorMessage(error) }, "starting plugins failed");
    }
    if (socketPath === undefined) return;
    try {
      this.#server = await servePlugins(socketPath, freeSocketPath, (socket) => void this.#connected(socket));
    } catch (error) {
      this.#log.error({ err: errorMessage(error) }, "plugins cannot connect");
    }
  }

  async close(): Promise<void> {
    this.#closing = true;
    const closed = this.#server?.close();
    for (const plugin of this.#plugins) plugin.drop("the daemon is stopping");
    await Promise.all([closed, ...[...this.#processes].map(({ ended }) => ended)]);
  }

  async #launch(file: PluginFile): Promise<void> {
    const log = this.#log.child({ plugin: `${file.index}-${file.base}` });
    try {
      const launched = await launchPlugin(file, this.#records, log);
      this.#processes.add(launched);
      void launched.ended.then(() => this.#processes.delete(launched));
      const plugin = this.#admit(launched.socket, { index: file.index, base: file.base });
      void plugin.gone.then(() => launched.kill());
      await this.#join(plugin, file.config);
    } catch (error) {
      log.error({ path: file.path, err: errorMessage(error) }, "starting a plugin failed");
    }
  }

  async #connected(socket: Socket): Promise<void> {
    const plugin = this.#admit(socket);
    try {
      await this.#join(plugin, "");
    } catch (error) {
      plugin.log.error({ err: errorMessage(error) }, "a plugin that connected was refused");
    }
  }

  #admit(socket: LaunchedPlugin["socket"], identity?: { index: string; base: string }): Plugin {
    const plugin = new Plugin({
      socket,
      log: this.#log,
      timeouts: this.#options.timeouts,
      ...(identity && { identity }),
      update: (from, request) => this.#unsolicited(from, request),
    });
    this.#plugins.add(plugin);
    void plugin.gone.then((reason) => {
      this.#plugins.delete(plugin);
      if (reason.message === PEER_LEFT || this.#closing) plugin.log.info({}, "plugin left");
      else plugin.log.warn({ reason: reason.message }, "plugin dropped");
    });
    if (this.#closing) plugin.drop("the daemon is stopping");
    return plugin;
  }

  /** Takes a plugin in: no event happens between the state that it is shown and its first event. */
  async #join(plugin: Plugin, config: string): Promise<void> {
    const { control } = this;
    await plugin.register();
    const restMs = this.#hung.restMs(plugin.base);
    if (restMs > 0) {
      const reason = `it hung lately, and may come again in ${Math.ceil(restMs / 1000)} s`;
      plugin.drop(reason);
      throw new GantryError("unavailable", reason);
    }
    await plugin.configure({ ...this.#options.runtime, config });
    const wanted = await this.chain.exclusive(never, async () => {
      const { pods, containers } = control.state();
      const updates = await this.#synchronize(plugin, pods, containers);
      this.chain.add(plugin);
      return updates;
    });
    plugin.log.info({}, "plugin synchronized");
    await this.#applyLater(new ContainerUpdates(), wanted, plugin.name);
  }

  async #synchronize(plugin: Plugin, pods: HookedPod[], containers: HookedContainer[]): Promise<UpdateIn[]> {
    try {
      const shown = containers.flatMap((container) => this.#shown(container));
      const updates = await plugin.synchronize(pods.map(podMessage), shown);
      this.#hung.answered(plugin.base);
      return updates;
    } catch (error) {
      if (errorKind(error) === "deadline-exceeded") this.#hung.hung(plugin.base);
      throw error;
    }
  }

  /** A container whose configuration is lost is left out. */
  #shown(container: HookedContainer): ReturnType<typeof containerMessage>[] {
    try {
      return [containerMessage(container)];
    } catch (error) {
      this.#log.warn(
        { containerId: container.container.id, err: errorMessage(error) },
        "not shown to a plugin",
      );
      return [];
    }
  }

  async #applyLater(updates: ContainerUpdates, wanted: UpdateIn[], plugin: string): Promise<void> {
    try {
      updates.add(wanted, plugin);
      await updates.apply(this.control, this.#log);
    } catch (error) {
      this.#log.warn({ plugin, err: errorMessage(error) }, "an update that a plugin wanted failed");
    }
  }

  /** Updates that a plugin asks for by itself: each for itself, and no event of it. */
  async #unsolicited(plugin: Plugin, { update, evict }: UpdateContainersIn): Promise<UpdateMessage[]> {
    const failed: UpdateMessage[] = [];
    for (const wanted of update) {
      try {
        if (wanted.linux?.resources)
          await applyUpdate(this.control, wanted.container_id, wanted.linux.resources);
      } catch (error) {
        plugin.log.warn(
          { containerId: wanted.container_id, err: errorMessage(error) },
          "an update that a plugin wanted failed",
        );
        if (!wanted.ignore_failure) failed.push(wanted);
      }
    }
    const evictions = new ContainerUpdates();
    evictions.evict(evict, plugin.name);
    await evictions.apply(this.control, plugin.log);
    return failed;
  }
}
