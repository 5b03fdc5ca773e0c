/** What tests of pods in a user namespace ask for. */

export const [POD, CONTAINER, NODE] = [0, 1, 2];
/** The pod's root on the host. */
export const BASE = 300_000;
export const LENGTH = 65_536;
export const MAPPING = [{ container_id: 0, host_id: BASE, length: LENGTH }];
/** Of a mount. */
export const MAPPED = { uidMappings: MAPPING, gidMappings: MAPPING };
export const USER = { mode: POD, uids: MAPPING, gids: MAPPING };

export const options = (namespace_options: object, more: object = {}): object => ({
  linux: { security_context: { namespace_options, ...more } },
});
/** In a user namespace, with a PID namespace for each container. */
export const own = (more: object = {}): object => options({ pid: CONTAINER, userns_options: USER }, more);
