import assert from "node:assert/strict";
import { test } from "node:test";
import type { HookedContainer } from "../engine/lifecycle-hooks.ts";
import { containerConfig, podConfig } from "../engine/sample-config.ts";
import { type DefaultValidatorOptions, validateByDefault } from "./default-validator.ts";
import { FieldOwners } from "./owners.ts";

const LENIENT: DefaultValidatorOptions = {
  enable: true,
  rejectOciHooks: false,
  rejectRuntimeDefaultSeccomp: false,
  rejectUnconfinedSeccomp: false,
  rejectCustomSeccomp: false,
  rejectNamespaces: false,
  rejectSysctls: false,
  requiredPlugins: [],
  tolerateMissingAnnotation: "",
};

function subject(annotations: Record<string, string> = {}): HookedContainer {
  const pod = { sandbox: { config: podConfig({ annotations }) } };
  return { pod, container: { config: containerConfig() } } as unknown as HookedContainer;
}

function judge(more: Partial<DefaultValidatorOptions>, owners = new FieldOwners(), annotations = {}): void {
  validateByDefault({ ...LENIENT, ...more }, subject(annotations), owners, [{ base: "there" }]);
}

test("what the operator does not want is refused, with the plugin's name", () => {
  const cases: [Partial<DefaultValidatorOptions>, (owners: FieldOwners) => void][] = [
    [{ rejectOciHooks: true }, (owners) => owners.join("OciHooks", "10-a")],
    [{ rejectUnconfinedSeccomp: true }, (owners) => owners.claim("SeccompPolicy", "10-a")],
    [{ rejectNamespaces: true }, (owners) => owners.claim("Namespace", "10-a", "network")],
    [{ rejectSysctls: true }, (owners) => owners.claim("Sysctl", "10-a", "net.ipv4.ip_forward")],
  ];
  for (const [rule, adjust] of cases) {
    const owners = new FieldOwners();
    adjust(owners);
    assert.throws(() => judge(rule, owners), { kind: "permission-denied", message: /"10-a"/ });
    judge({}, owners);
    judge({ ...rule, enable: false }, owners);
    judge(rule);
  }
});

test("required plugins are those of the settings and of the pod's annotation", () => {
  judge({ requiredPlugins: ["there"] });
  assert.throws(
    () => judge({ requiredPlugins: ["there", "away"] }),
    /required plugins are not there: "away"/,
  );
  const key = "required-plugins.noderesource.dev";
  for (const [name, value] of [
    [key, "[ there, away ]"],
    [`${key}/pod`, "- there\n- 'away'\n"],
    [`${key}/container.c`, '["away"]'],
  ] as const)
    assert.throws(() => judge({}, undefined, { [name]: value }), /"away"/);
  judge({}, undefined, { [key]: "[away]", [`${key}/container.c`]: "[there]" });
  const tolerant = { requiredPlugins: ["away"], tolerateMissingAnnotation: "tolerate" };
  judge(tolerant, undefined, { tolerate: "true" });
  assert.throws(() => judge(tolerant, undefined, { tolerate: "false" }), /"away"/);
});
