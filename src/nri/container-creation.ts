/** What plugins make of a new container: each is asked in turn and sees what those before it changed. */
import { GantryError, wrapError } from "../base/errors.ts";
import type { AdjustedContainer, HookedContainer } from "../engine/lifecycle-hooks.ts";
import { applyAdjustment } from "./adjustment.ts";
import type { AdjustmentTarget } from "./adjustment-target.ts";
import { addAdjustment } from "./adjustment-total.ts";
import type { ContainerUpdates } from "./container-updates.ts";
import { type DefaultValidatorOptions, validateByDefault } from "./default-validator.ts";
import type {
  AdjustmentIn,
  CreateContainerReply,
  UpdateIn,
  ValidateReply,
  ValidateRequest,
} from "./messages.ts";
import type { Plugin } from "./plugin.ts";
import type { PluginChain } from "./plugin-chain.ts";
import { containerMessage, podMessage } from "./subjects.ts";

export class ContainerCreation {
  /** Who has been told of the container. */
  readonly asked: Plugin[] = [];
  readonly #subject: HookedContainer;
  readonly #updates: ContainerUpdates;
  readonly #target: AdjustmentTarget;
  #total: Partial<AdjustmentIn> | undefined;
  readonly #wanted: UpdateIn[] = [];

  constructor(subject: HookedContainer, updates: ContainerUpdates) {
    this.#subject = subject;
    this.#updates = updates;
    this.#target = {
      spec: structuredClone(subject.spec()),
      cdiDevices: [],
      owners: updates.ownersOf(subject.container.id),
    };
  }

  /** @throws where a plugin refuses, or asks for what cannot be. */
  async ask(plugin: Plugin): Promise<void> {
    this.asked.push(plugin);
    const reply = await plugin.request<CreateContainerReply>("CreateContainer", {
      pod: podMessage(this.#subject.pod),
      container: containerMessage(this.#subject, this.#target.spec),
    });
    if (!reply) return;
    this.#updates.add(reply.update, plugin.name);
    this.#updates.evict(reply.evict, plugin.name);
    this.#wanted.push(...reply.update);
    if (!reply.adjust) return;
    try {
      applyAdjustment(this.#target, reply.adjust, plugin.name);
    } catch (error) {
      throw wrapError(`adjustment by plugin "${plugin.name}"`, error);
    }
    this.#total = addAdjustment(this.#total ?? {}, reply.adjust);
  }

  /** @throws where a validator refuses, or one that was there is gone before it has answered. */
  async validate(chain: PluginChain, byDefault: DefaultValidatorOptions): Promise<void> {
    validateByDefault(byDefault, this.#subject, this.#target.owners, chain.all());
    const validators = chain.subscribers("ValidateContainerAdjustment");
    if (validators.length === 0) return;
    const request = this.#validation(chain.all());
    await Promise.all(
      validators.map(async (plugin) => {
        const reply = await plugin.request<ValidateReply>("ValidateContainerAdjustment", request);
        if (!reply) throw new GantryError("unavailable", `validator plugin "${plugin.name}" did not answer`);
        if (reply.reject)
          throw new GantryError(
            "permission-denied",
            `validator plugin "${plugin.name}" refused the adjustment: ${reply.reason.slice(0, 1024) || "no reason given"}`,
          );
      }),
    );
  }

  /** Undefined where no plugin adjusted anything. */
  result(): AdjustedContainer | undefined {
    return this.#total && { spec: this.#target.spec, cdiDevices: this.#target.cdiDevices };
  }

  #validation(plugins: readonly Plugin[]): ValidateRequest {
    const { pod, container } = this.#subject;
    return {
      pod: podMessage(pod),
      container: containerMessage(this.#subject),
      adjust: this.#total ?? {},
      update: this.#wanted,
      owners: { owners: { [container.id]: this.#target.owners.message() } },
      plugins: plugins.map(({ base, index }) => ({ name: base, index })),
    };
  }
}
