/** The AppArmor profile of a container's processes. */
import { errorMessage, GantryError } from "../base/errors.ts";
import type { ContainerSecurity } from "./container.ts";
import type { EngineContext } from "./engine-context.ts";

/**
 * A container that says nothing gets the default profile where the host can give it one. Where the kernel has no
 * AppArmor, only a profile that was named is missed.
 * @returns undefined for an unconfined one; a privileged container always is.
 * @throws GantryError failed-precondition or not-found for a profile that was asked for and cannot be had.
 */
export async function apparmorChoice(
  { apparmor, log }: Pick<EngineContext, "apparmor" | "log">,
  { apparmor: asked, privileged }: ContainerSecurity,
): Promise<string | undefined> {
  if (privileged || asked?.kind === "unconfined") return undefined;
  if (asked?.kind === "localhost") {
    // Clients also give the name as the deprecated field has it.
    const name = asked.localhostRef.replace(/^localhost\//, "");
    if (!apparmor.enabled)
      throw new GantryError("failed-precondition", `AppArmor profile "${name}": this host has no AppArmor`);
    if (!(await apparmor.isLoaded(name)))
      throw new GantryError("not-found", `AppArmor profile "${name}" is not loaded`);
    return name;
  }
  if (!apparmor.enabled) return undefined;
  try {
    return await apparmor.defaultProfile();
  } catch (error) {
    if (asked) throw error;
    log.warn({ err: errorMessage(error) }, "containers that ask for no AppArmor profile are unconfined");
    return undefined;
  }
}
