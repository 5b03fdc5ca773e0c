/** The settings of the section [nri] as what src/nri takes. */
import { join } from "node:path";
import type { Logger } from "../base/logger.ts";
import { freeSocketPath } from "../cri/unix-socket.ts";
import type { NriOptions } from "../nri/nri.ts";
import type { Config } from "./config-schema.ts";
import { VERSION } from "./version.ts";

export function nriOptions({ state, nri, nri_validator: validator }: Config, log: Logger): NriOptions {
  return {
    log,
    runtime: { name: "gantry", version: VERSION },
    socketPath: nri.disable_connections ? undefined : nri.socket_path,
    freeSocketPath,
    pluginDirectory: nri.plugin_path,
    recordDirectory: join(state, "nri"),
    configDirectory: nri.plugin_config_path,
    timeouts: { registrationMs: nri.registration_timeout_ms, requestMs: nri.request_timeout_ms },
    validator: {
      enable: validator.enable,
      rejectOciHooks: validator.reject_oci_hook_adjustment,
      rejectRuntimeDefaultSeccomp: validator.reject_runtime_default_seccomp_adjustment,
      rejectUnconfinedSeccomp: validator.reject_unconfined_seccomp_adjustment,
      rejectCustomSeccomp: validator.reject_custom_seccomp_adjustment,
      rejectNamespaces: validator.reject_namespace_adjustment,
      rejectSysctls: validator.reject_sysctl_adjustment,
      requiredPlugins: validator.required_plugins,
      tolerateMissingAnnotation: validator.tolerate_missing_plugins_annotation,
    },
  };
}
