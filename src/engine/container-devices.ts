/** The host devices that a container asks for, looked at on the host; a directory stands for the devices below it. */
import { wrapError } from "../base/errors.ts";
import { lookUpDevice } from "../oci/device-lookup.ts";
import type { SpecDevice } from "../oci/spec-input.ts";
import type { ContainerConfig } from "./container.ts";

/** @throws not-found or invalid-argument, naming the device. */
export async function containerDevices(config: ContainerConfig): Promise<SpecDevice[]> {
  const found: SpecDevice[] = [];
  for (const device of config.devices) {
    try {
      found.push(...(await lookUpDevice(device.hostPath, device.containerPath, device.permissions)));
    } catch (error) {
      throw wrapError(`device "${device.hostPath}"`, error);
    }
  }
  return found;
}
