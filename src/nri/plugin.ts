/**
 * One plugin, from its connection to its end.
 *
 *   connected ──RegisterPlugin──▶ registered ──Configure──▶ configured ──Synchronize──▶ active
 *        └────────────────────────────┴────── drop ───────────────┴──────────────────────┴──▶ gone
 *
 * An error that a plugin answers with is the caller's affair. A plugin that does not answer in time, closes the
 * connection or breaks the protocol is dropped, and the call goes on as if it had not been there.
 */
import type { Duplex } from "node:stream";
import { abortable } from "../base/abort.ts";
import { errorMessage, GantryError, wrapError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { ALL_EVENTS, eventBit, type EventCall, stateChangeEvent } from "./events.ts";
import type {
  ConfigureReply,
  ConfigureRequest,
  ContainerMessage,
  PodSandboxMessage,
  RegisterPluginIn,
  SynchronizeReply,
  UpdateIn,
  UpdateContainersIn,
  UpdateMessage,
} from "./messages.ts";
import { nriCodec, PLUGIN_SERVICE, RUNTIME_SERVICE } from "./protocol.ts";
import { checkPluginIndex, checkPluginName } from "./plugin-name.ts";
import { synchronizeRequests } from "./synchronize-request.ts";
import { STATUS_UNIMPLEMENTED, TtrpcConnection, TtrpcStatusError } from "./ttrpc-connection.ts";

export interface PluginTimeouts {
  /** From the connection to RegisterPlugin; also for Synchronize as a whole. */
  registrationMs: number;
  /** For each request. */
  requestMs: number;
}

export interface PluginOptions {
  socket: Duplex;
  log: Logger;
  timeouts: PluginTimeouts;
  /** Of a plugin that we launched; one that connects says its name itself. */
  identity?: { index: string; base: string };
  /** Serves UpdateContainers; gives back what could not be done. */
  update(plugin: Plugin, request: UpdateContainersIn): Promise<UpdateMessage[]>;
}

const EMPTY = nriCodec<object, object>("Empty").encode({});

export class Plugin {
  readonly #options: PluginOptions;
  readonly #connection: TtrpcConnection;
  readonly #registered = Promise.withResolvers<void>();
  #log: Logger;
  #index: string;
  #base: string;
  #events = 0;
  #isRegistered = false;

  constructor(options: PluginOptions) {
    this.#options = options;
    this.#index = options.identity?.index ?? "";
    this.#base = options.identity?.base ?? "";
    this.#log = options.log.child({ plugin: this.name });
    this.#connection = new TtrpcConnection(options.socket, (service, method, payload) =>
      this.#serve(service, method, payload),
    );
    this.#registered.promise.catch(() => undefined);
    void this.#connection.closed.then((reason) => this.#registered.reject(reason));
  }

  /** Index and name: "10-logger". */
  get name(): string {
    return this.#base === "" ? "not registered" : `${this.#index}-${this.#base}`;
  }

  get index(): string {
    return this.#index;
  }

  /** The name without the index. */
  get base(): string {
    return this.#base;
  }

  get log(): Logger {
    return this.#log;
  }

  /** Resolves with the reason when it is gone. */
  get gone(): Promise<GantryError> {
    return this.#connection.closed;
  }

  wants(call: EventCall): boolean {
    return (this.#events & eventBit(call)) !== 0;
  }

  drop(reason: string): void {
    this.#connection.close(reason);
  }

  /** @throws deadline-exceeded, unavailable, invalid-argument for a bad name; it is dropped then. */
  async register(): Promise<void> {
    const { registrationMs } = this.#options.timeouts;
    try {
      await abortable(this.#registered.promise, AbortSignal.timeout(registrationMs));
    } catch (error) {
      this.drop(`not registered: ${errorMessage(error)}`);
      throw wrapError("register plugin", error);
    }
  }

  /** Gives it its configuration and takes its subscription. @throws where it refuses; it is dropped then. */
  async configure(runtime: { name: string; version: string; config: string }): Promise<void> {
    const { registrationMs, requestMs } = this.#options.timeouts;
    const request: ConfigureRequest = {
      config: runtime.config,
      runtime_name: runtime.name,
      runtime_version: runtime.version,
      registration_timeout: registrationMs,
      request_timeout: requestMs,
      NRI_version: NRI_VERSION,
    };
    try {
      const { events } = await this.#call<ConfigureReply>("Configure", request, requestMs);
      if ((events & ~ALL_EVENTS) !== 0)
        throw new GantryError(
          "invalid-argument",
          `it subscribes to unknown events, 0x${(events >>> 0).toString(16)}`,
        );
      this.#events = events === 0 ? ALL_EVENTS : events;
    } catch (error) {
      this.drop(`not configured: ${errorMessage(error)}`);
      throw wrapError(`configure plugin "${this.name}"`, error);
    }
  }

  /** Shows it everything there is; gives the updates that it wants. @throws where it fails; it is dropped then. */
  async synchronize(pods: PodSandboxMessage[], containers: ContainerMessage[]): Promise<UpdateIn[]> {
    const end = performance.now() + this.#options.timeouts.registrationMs;
    try {
      let updates: UpdateIn[] = [];
      for (const request of synchronizeRequests(pods, containers)) {
        const leftMs = Math.max(1, Math.ceil(end - performance.now()));
        const reply = await this.#call<SynchronizeReply>("Synchronize", request, leftMs);
        if (request.more && (!reply.more || reply.update.length > 0))
          throw new GantryError("failed-precondition", "it cannot take the state in parts");
        updates = reply.update;
      }
      return updates;
    } catch (error) {
      this.drop(`not synchronized: ${errorMessage(error)}`);
      throw wrapError(`synchronize plugin "${this.name}"`, error);
    }
  }

  /**
   * Its answer, or undefined where it was dropped for want of one.
   * @throws where it answers with an error.
   */
  async request<Reply>(call: EventCall, message: object): Promise<Reply | undefined> {
    try {
      return await this.#call<Reply>(call, message, this.#options.timeouts.requestMs);
    } catch (error) {
      if (error instanceof TtrpcStatusError && error.code === STATUS_UNIMPLEMENTED) {
        const event = stateChangeEvent(call);
        return event === undefined ? undefined : await this.#stateChange<Reply>(call, { ...message, event });
      }
      return this.#failed(call, error);
    }
  }

  async #stateChange<Reply>(call: EventCall, event: object): Promise<Reply | undefined> {
    const payload = nriCodec("StateChangeEvent").encode(event);
    try {
      await this.#connection.call(PLUGIN_SERVICE, "StateChange", payload, this.#options.timeouts.requestMs);
    } catch (error) {
      if (!(error instanceof TtrpcStatusError && error.code === STATUS_UNIMPLEMENTED))
        this.#failed(call, error);
    }
    return undefined;
  }

  /** Rethrows what is the plugin's answer, or not its fault; drops it for anything else. */
  #failed(call: EventCall, error: unknown): undefined {
    const answered = error instanceof TtrpcStatusError;
    if (answered || (error instanceof GantryError && error.kind === "resource-exhausted"))
      throw wrapError(
        `plugin "${this.name}": ${call}`,
        error,
        answered ? "failed-precondition" : "resource-exhausted",
      );
    this.drop(`${call}: ${errorMessage(error)}`);
  }

  async #call<Reply>(method: string, message: object, timeoutMs: number): Promise<Reply> {
    const payload = nriCodec(`${method}Request`).encode(message);
    const reply = await this.#connection.call(PLUGIN_SERVICE, method, payload, timeoutMs);
    return nriCodec<object, Reply>(`${method}Response`).decode(reply);
  }

  async #serve(service: string, method: string, payload: Buffer): Promise<Uint8Array> {
    if (service === RUNTIME_SERVICE && method === "RegisterPlugin") {
      this.#register(nriCodec<object, RegisterPluginIn>("RegisterPluginRequest").decode(payload));
      return EMPTY;
    }
    if (service === RUNTIME_SERVICE && method === "UpdateContainers") {
      if (!this.#isRegistered) throw new GantryError("failed-precondition", "the plugin is not registered");
      const request = nriCodec<object, UpdateContainersIn>("UpdateContainersRequest").decode(payload);
      const failed = await this.#options.update(this, request);
      return nriCodec("UpdateContainersResponse").encode({ failed });
    }
    throw new TtrpcStatusError(STATUS_UNIMPLEMENTED, `no method ${method} of ${service}`);
  }

  #register(request: RegisterPluginIn): void {
    if (this.#isRegistered) throw new GantryError("failed-precondition", "the plugin is registered already");
    if (!this.#options.identity) {
      try {
        checkPluginName(request.plugin_name);
        checkPluginIndex(request.plugin_idx);
      } catch (error) {
        this.#registered.reject(error);
        throw error;
      }
      this.#base = request.plugin_name;
      this.#index = request.plugin_idx;
      this.#log = this.#options.log.child({ plugin: this.name });
    }
    this.#isRegistered = true;
    this.#log.info({ nriVersion: request.NRI_version }, "plugin registered");
    this.#registered.resolve();
  }
}

/** Of the definition in proto/nri, as plugins compare it. */
const NRI_VERSION = "v0.12.1";
