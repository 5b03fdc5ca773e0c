/** The host devices that a container asks for, looked at on the host; a directory stands for the devices below it. */
import { hostDevices, lookupDevices } from "../oci/device-lookup.ts";
import type { SpecDevice } from "../oci/spec-input.ts";
import type { ContainerConfig } from "./container.ts";

/** All of the host's for a privileged container, unless it is to do without. @throws not-found or invalid-argument, naming the device. */
export function containerDevices(config: ContainerConfig, withoutHostDevices = false): SpecDevice[] {
  const asked = config.devices.flatMap(({ hostPath, containerPath, permissions }) =>
    lookupDevices(hostPath, containerPath, permissions),
  );
  if (!config.security.privileged || withoutHostDevices) return asked;
  const named = new Set(asked.map(({ device }) => device.path));
  return [...hostDevices().filter(({ device }) => !named.has(device.path)), ...asked];
}
