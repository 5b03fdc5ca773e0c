/**
 * One HTTP endpoint that may be asked for an image: the registry itself or a mirror of it.
 */

export interface HostTls {
  /** PEM certificates that are trusted besides the system's. */
  ca: string[];
  /** PEM certificate and key pairs shown to the host. */
  client: { cert: string; key: string }[];
  skipVerify: boolean;
}

/**
 * The settings for an address that a host leads to, by a redirect or as its token realm: its authorities hold there.
 *
 * @param own what is left of it: "origin" the same host and port, "name" another port of the host, "nothing". Client
 *   certificates are for the origin; a certificate that nobody vouches for is accepted of the host itself only, as the
 *   operator said that of no other.
 */
export function tlsElsewhere(tls: HostTls, own: "origin" | "name" | "nothing"): HostTls {
  if (own === "origin") return tls;
  return { ...tls, client: [], skipVerify: tls.skipVerify && own === "name" };
}

/** How much an address has in common with another. */
export function sharedOrigin(one: URL, other: URL): "origin" | "name" | "nothing" {
  if (one.origin === other.origin) return "origin";
  return one.hostname === other.hostname ? "name" : "nothing";
}

export interface RegistryHost {
  /** Base of the distribution API, without a trailing slash: "https://registry-1.docker.io/v2". */
  baseUrl: URL;
  /** Answers for tags; a host without it is only asked by digest. */
  resolve: boolean;
  /** Serves manifests by digest and blobs. */
  pull: boolean;
  tls: HostTls;
  /** Sent to this host and to no other (GHSA-rp3h-jf77-q9p4). */
  headers: [name: string, value: string][];
  /** Value of the `ns` parameter, which tells a mirror whose images are meant. */
  namespace: string | undefined;
  /** The registry that the reference names, or what the operator configured as its server: gets its credentials. */
  isServer: boolean;
}

/** The host that a registry's name stands for. */
export function serverName(registry: string): string {
  return registry === "docker.io" ? "registry-1.docker.io" : registry;
}

/** localhost, 127.0.0.0/8 and ::1, with or without a port: plain http unless the port is 443, as is usual. */
export function isLoopback(registry: string): boolean {
  return /^(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?$/.test(registry);
}
