/**
 * The validator that comes with NRI: refuses adjustments that the operator does not want plugins to make, and containers
 * of which required plugins have not been asked.
 */
import { GantryError } from "../base/errors.ts";
import type { HookedContainer } from "../engine/lifecycle-hooks.ts";
import type { FieldOwners } from "./owners.ts";

export interface DefaultValidatorOptions {
  enable: boolean;
  rejectOciHooks: boolean;
  rejectRuntimeDefaultSeccomp: boolean;
  rejectUnconfinedSeccomp: boolean;
  rejectCustomSeccomp: boolean;
  rejectNamespaces: boolean;
  rejectSysctls: boolean;
  /** Names without index. */
  requiredPlugins: string[];
  /** Annotation with which a pod does without the required plugins. Empty: none. */
  tolerateMissingAnnotation: string;
}

const REQUIRED_PLUGINS_ANNOTATION = "required-plugins.noderesource.dev";

/** @throws permission-denied naming the plugin; failed-precondition for a missing one. */
export function validateByDefault(
  options: DefaultValidatorOptions,
  subject: HookedContainer,
  owners: FieldOwners,
  plugins: readonly { base: string }[],
): void {
  if (!options.enable) return;
  const refuse = (what: string, who: string): never => {
    throw new GantryError("permission-denied", `adjustment of ${what} by plugin "${who}" is not allowed`);
  };
  const hooks = owners.owner("OciHooks");
  if (options.rejectOciHooks && hooks !== undefined) refuse("OCI hooks", hooks);
  const seccomp = owners.owner("SeccompPolicy");
  if (seccomp !== undefined && rejectsSeccomp(options, subject)) refuse("the seccomp policy", seccomp);
  const [namespace] = owners.ownersOf("Namespace");
  if (options.rejectNamespaces && namespace) refuse(`the ${namespace[0]} namespace`, namespace[1]);
  const [sysctl] = owners.ownersOf("Sysctl");
  if (options.rejectSysctls && sysctl) refuse(`sysctl ${sysctl[0]}`, sysctl[1]);
  requirePlugins(options, subject, plugins);
}

function rejectsSeccomp(options: DefaultValidatorOptions, { container }: HookedContainer): boolean {
  switch (container.config.security.seccomp?.kind) {
    case "runtime-default":
      return options.rejectRuntimeDefaultSeccomp;
    case "localhost":
      return options.rejectCustomSeccomp;
    case "unconfined":
    case undefined:
      return options.rejectUnconfinedSeccomp;
  }
}

function requirePlugins(
  options: DefaultValidatorOptions,
  subject: HookedContainer,
  plugins: readonly { base: string }[],
): void {
  const tolerates = options.tolerateMissingAnnotation;
  if (tolerates !== "" && /^(1|t|true)$/i.test(annotation(subject, tolerates) ?? "")) return;
  const required = [
    ...options.requiredPlugins,
    ...listed(annotation(subject, REQUIRED_PLUGINS_ANNOTATION) ?? ""),
  ];
  const missing = required.filter((name) => !plugins.some(({ base }) => base === name));
  if (missing.length > 0)
    throw new GantryError(
      "failed-precondition",
      `required plugins are not there: ${missing.map((name) => `"${name}"`).join(", ")}`,
    );
}

/** The pod's annotation KEY/container.NAME, else KEY/pod, else KEY. */
function annotation({ pod, container }: HookedContainer, key: string): string | undefined {
  const { annotations } = pod.sandbox.config;
  return [`${key}/container.${container.config.metadata.name}`, `${key}/pod`, key]
    .map((name) => annotations[name])
    .find((value) => value !== undefined);
}

/** A YAML list of names, `[ a, b ]` or one "- a" a line. */
function listed(text: string): string[] {
  const lines = /^\s*\[([^\]]*)\]\s*$/s.exec(text)?.[1]?.split(",") ?? text.split("\n");
  return lines
    .map((line) => line.replace(/^\s*-\s+/, "").replace(/^\s*["']?|["']?\s*$/g, ""))
    .filter(Boolean);
}
