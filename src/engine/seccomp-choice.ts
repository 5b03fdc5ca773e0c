/** The seccomp filter that a container asks for. A profile file is read anew for each container. */
import { readFile, stat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { errnoCode, GantryError, wrapError } from "../base/errors.ts";
import { containerCapabilities } from "../oci/capabilities.ts";
import { hostLimits } from "../oci/host-limits.ts";
import { compileSeccomp } from "../oci/seccomp-compile.ts";
import { parseSeccompProfile } from "../oci/seccomp-profile-json.ts";
import type { Seccomp } from "../oci/runtime-spec.ts";
import type { SeccompChoice } from "../oci/spec-input.ts";
import type { ContainerSecurity } from "./container.ts";
import type { EngineContext } from "./engine-context.ts";

const PROFILE_LIMIT_BYTES = 1024 * 1024;

/** A container that says nothing, or is privileged, is unconfined: what the kubelet expects. */
export async function seccompChoice(
  context: Pick<EngineContext, "seccompDefaultProfile">,
  security: ContainerSecurity,
): Promise<SeccompChoice> {
  const { seccomp, privileged } = security;
  if (privileged || !seccomp || seccomp.kind === "unconfined") return { kind: "unconfined" };
  if (seccomp.kind === "localhost")
    return { kind: "profile", profile: await readProfile(seccomp.localhostRef, security) };
  if (context.seccompDefaultProfile === "") return { kind: "default" };
  return { kind: "profile", profile: await readProfile(context.seccompDefaultProfile, security) };
}

/** A profile's rules may depend on the capabilities that the container has. */
async function readProfile(path: string, security: ContainerSecurity): Promise<Seccomp> {
  const what = `seccomp profile "${path}"`;
  if (!isAbsolute(path)) throw new GantryError("invalid-argument", `${what} is not an absolute path`);
  try {
    const { size } = await stat(path);
    if (size > PROFILE_LIMIT_BYTES)
      throw new GantryError("invalid-argument", `${what}: larger than ${PROFILE_LIMIT_BYTES} bytes`);
    const text = await readFile(path, "utf8");
    const profile = parseSeccompProfile(text, path, { capabilities: granted(security) });
    checkCompiles(profile, what);
    return profile;
  } catch (error) {
    if (error instanceof GantryError) throw error;
    if (errnoCode(error) === "ENOENT")
      throw new GantryError("not-found", `${what} does not exist`, { cause: error });
    throw wrapError(what, error, "invalid-argument");
  }
}

/**
 * What no filter can be made of is found when the container is created. The start finds the filter made, and takes its
 * listener to the profile's agent if it has one: the profile is the node's, so its path is, too.
 */
function checkCompiles(profile: Seccomp, what: string): void {
  try {
    compileSeccomp(profile);
  } catch (error) {
    throw wrapError(what, error);
  }
}

function granted(security: ContainerSecurity): string[] {
  const request = {
    add: security.addCapabilities,
    drop: security.dropCapabilities,
    addAmbient: security.addAmbientCapabilities,
  };
  return containerCapabilities(request, security.privileged, hostLimits()).bounding ?? [];
}
