/**
 * The active plugins in the order of their indices, and the rule that only one thing is going on with them: one event
 * after another, and no event while a plugin that arrives is shown the state. So every plugin sees every pod and
 * container once, in the state or by its event, and events in the order in which things happen.
 */
import { KeyedMutex } from "../base/mutex.ts";
import type { EventCall } from "./events.ts";
import type { Plugin } from "./plugin.ts";

const KEY = "plugins";

export class PluginChain {
  readonly #mutex = new KeyedMutex();
  #plugins: Plugin[] = [];
  #busy = 0;

  /** Whether nobody subscribed to any of the events, and nothing is going on that would have to be waited for. */
  indifferent(...calls: EventCall[]): boolean {
    return this.#busy === 0 && !calls.some((call) => this.#plugins.some((plugin) => plugin.wants(call)));
  }

  /** The subscribers, in order. To be asked for while `exclusive`. */
  subscribers(call: EventCall): Plugin[] {
    return this.#plugins.filter((plugin) => plugin.wants(call));
  }

  /** All of them, in order. */
  all(): readonly Plugin[] {
    return this.#plugins;
  }

  /** Runs the work when nothing else is going on. An abort while waiting gives up the place. */
  async exclusive<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    this.#busy += 1;
    try {
      return await this.#mutex.run(KEY, signal, work);
    } finally {
      this.#busy -= 1;
    }
  }

  /** Those with the same index stay in the order in which they came. It leaves by itself when it is gone. */
  add(plugin: Plugin): void {
    this.#plugins = [...this.#plugins, plugin].sort((a, b) => a.index.localeCompare(b.index));
    void plugin.gone.then(() => (this.#plugins = this.#plugins.filter((other) => other !== plugin)));
  }
}
