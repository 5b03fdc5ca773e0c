/**
 * Every setting of gantryd: its name, type, default and explanation, once. The check of a file, `gantryd config
 * default` and docs/configuration.md are all made from this.
 *
 * To add a setting, add it here; it needs a default, as gantryd must start without any file.
 */
import * as v from "valibot";

/** A setting with its default; the text explains it to who edits the file. */
function setting<const S extends v.GenericSchema, const D extends v.InferInput<S>>(
  schema: S,
  fallback: D,
  text: string,
) {
  return v.optional(v.pipe(schema, v.description(text)), fallback);
}

/** A table of settings. */
function section<const E extends v.ObjectEntries>(entries: E, text: string) {
  return v.pipe(v.strictObject(entries), v.description(text));
}

const text = v.string("must be a string");
const textList = v.array(text, "must be a list of strings");
const yesNo = v.boolean("must be true or false");

const absolutePath = v.pipe(
  text,
  v.regex(
    /^(?!.*\/\.\.?(\/|$))\/[^\0]*[^\0/]$/,
    "must be an absolute path without '.' and '..' and without a slash at its end",
  ),
);

function emptyOr(pattern: RegExp, what: string) {
  return v.pipe(
    text,
    v.check((value) => value === "" || pattern.test(value), `must be ${what}, or empty`),
  );
}

function count(minimum: number, maximum: number) {
  const range = `must be a whole number from ${minimum} to ${maximum}`;
  return v.pipe(v.number(range), v.integer(range), v.minValue(minimum, range), v.maxValue(maximum, range));
}

function oneOf<const T extends readonly string[]>(names: T) {
  return v.picklist(names, `must be one of ${names.map((name) => `"${name}"`).join(", ")}`);
}

const log = section(
  {
    level: setting(oneOf(["debug", "info", "warn", "error"]), "info", "The least level that is logged."),
    format: setting(
      oneOf(["auto", "json", "pretty"]),
      "auto",
      `"json": one object a line. "pretty": for people. "auto": pretty where standard error is a terminal.`,
    ),
  },
  "What gantryd logs, on standard error.",
);

const images = section(
  {
    snapshotter: setting(
      oneOf(["auto", "overlayfs", "copy"]),
      "auto",
      `How the layers of an image become a root filesystem. "copy" needs nothing of the filesystem, and is slow and large. "auto": overlayfs where the filesystem of the root directory carries it, else copy.`,
    ),
    registry_config_path: setting(
      v.array(absolutePath),
      ["/etc/gantry/certs.d", "/etc/containerd/certs.d", "/etc/docker/certs.d"],
      "Directories with one directory for each registry, HOST/hosts.toml, for mirrors, certificates and headers. The first directory that has the host counts. The files are read at each pull.",
    ),
    plain_http_hosts: setting(
      textList,
      [],
      `Registries to speak plain http with, as "host" or "host:port". Loopback addresses need no entry.`,
    ),
    max_concurrent_downloads: setting(count(1, 64), 6, "How many layers of one image download at once."),
    unpack_workers: setting(
      count(0, 64),
      0,
      "How many threads unpack layers. 0: as many as there are processors, at most 4.",
    ),
    pinned: setting(
      textList,
      [],
      `Images that the kubelet must not collect: references, "*" stands for any text.`,
    ),
    pull_progress_timeout_seconds: setting(
      count(1, 3600),
      300,
      "A pull that waits for its registry for so long and receives nothing fails. A single request that hangs is made again before that.",
    ),
  },
  "Pulling and unpacking images.",
);

const network = section(
  {
    mode: setting(
      oneOf(["unset", "none", "embedded", "cni"]),
      "unset",
      `The network of pods that do not use the host's. "cni": by CNI plugins, see [cni]; the network of a node of a cluster. "embedded": a bridge with addresses, masquerading and port mappings, made without plugins. "none": a loopback interface only. "unset": such pods are refused and the node reports that its network is not ready.`,
    ),
    bridge: setting(
      v.pipe(
        text,
        v.regex(
          /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/,
          "must be a network interface name of at most 15 characters",
        ),
      ),
      "gantry0",
      "Name of the embedded network's bridge.",
    ),
    subnet: setting(
      v.pipe(
        text,
        v.regex(/^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/, `must be an IPv4 subnet such as "10.88.0.0/16"`),
      ),
      "10.88.0.0/16",
      "IPv4 addresses of the embedded network. Its first address is the bridge's.",
    ),
    subnet6: setting(
      emptyOr(/^[0-9a-fA-F:]+\/\d{1,3}$/, `an IPv6 subnet such as "fd00:88::/64"`),
      "",
      "IPv6 addresses of the embedded network. Empty: IPv4 only.",
    ),
  },
  "The network of pods.",
);

const cni = section(
  {
    conf_dir: setting(
      absolutePath,
      "/etc/cni/net.d",
      "Directory of network configurations: .conflist, .conf and .json files. The first by name is used. Changes are seen at once; pods keep what they were made with.",
    ),
    bin_dirs: setting(
      v.array(absolutePath),
      ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"],
      "Directories of the plugins, searched in this order.",
    ),
    cache_dir: setting(
      absolutePath,
      "/var/lib/cni",
      "Directory of cached results, results/NETWORK-POD-INTERFACE, in the form that other runtimes and tools use.",
    ),
    netns_dir: setting(
      emptyOr(/^\/./, "an absolute path"),
      "/run/netns",
      "Directory in which a pod's network namespace gets a name for its plugins, gantry-POD. Networks whose agents run in containers have it mounted there. Empty: the plugins are given a path below the state directory.",
    ),
    max_networks: setting(
      count(0, 64),
      1,
      "How many of the configurations a pod is attached to, in the order of their names: eth0, eth1 and so on. 0: to all.",
    ),
    conf_template: setting(
      emptyOr(/^\/./, "an absolute path"),
      "",
      "File from which a configuration is made when the kubelet tells the node's pod addresses and there is no other. {{.PodCIDR}}, {{.PodCIDRRanges}} and {{.Routes}} in it are replaced. Empty: none.",
    ),
    plugin_timeout_seconds: setting(
      count(1, 3600),
      120,
      "One call of one plugin that takes longer is ended, and has failed.",
    ),
  },
  `The network "cni".`,
);

const runtime = section(
  {
    default_handler: setting(
      v.pipe(text, v.nonEmpty("must name a handler")),
      "gantry",
      "The entry of [runtimes] that a pod without a runtime class gets.",
    ),
    seccomp_default: setting(
      emptyOr(/^\/./, "an absolute path"),
      "",
      "File with the seccomp profile that RuntimeDefault means. Empty: the built-in one.",
    ),
    cgroup_driver: setting(
      oneOf(["auto", "cgroupfs", "systemd"]),
      "auto",
      'Who makes control groups: gantryd itself, or systemd at its request. It is what the kubelet is told to use. "auto": systemd where it is the first process of a host that has cgroup v2 alone and pod_cgroup is no directory, else cgroupfs.',
    ),
    pod_cgroup: setting(
      emptyOr(/^\/.|^[^/]+\.slice$/, "an absolute path or the name of a slice"),
      "",
      'Parent of the control groups of pods that ask for none; the kubelet always asks for one. A directory, or a slice with the systemd driver. Empty: "/gantry", or "gantry.slice".',
    ),
    shim_cgroup: setting(
      emptyOr(/^\/.|^[^/:]*:[^/:]*:[^/:]+$/, "an absolute path or slice:prefix:name"),
      "",
      'The control group of the shims, which must not be below gantryd\'s own: a directory, or the scope PREFIX-NAME.scope as "SLICE:PREFIX:NAME". Empty: "/gantry.shims", or "system.slice:gantry:shims" with the systemd driver.',
    ),
    cdi_directories: setting(
      v.array(absolutePath),
      ["/etc/cdi", "/var/run/cdi"],
      "Directories of CDI files (*.json, *.yaml), which say what a device brings into a container. A later directory wins over an earlier one. The files are read when a container asks for such a device.",
    ),
    shm_size_bytes: setting(count(65_536, 1_099_511_627_776), 67_108_864, "Size of a pod's /dev/shm."),
  },
  "Running containers.",
);

const annotationPatterns = v.array(
  v.pipe(
    text,
    v.regex(/^[A-Za-z0-9._/-]+\*?$|^\*$/, "must be an annotation's key, or its beginning and '*'"),
  ),
  "must be a list of strings",
);

const handler = v.strictObject({
  type: setting(
    oneOf(["builtin", "oci"]),
    "builtin",
    `"builtin": Gantry's own executor. "oci": a program with runc's commands, the one that binary names.`,
  ),
  binary: setting(
    emptyOr(/^(?!.*\/\.\.?(\/|$))\/[^\0]*[^\0/]$/, "an absolute path"),
    "",
    `With "oci": the program.`,
  ),
  arguments: setting(
    textList,
    [],
    `With "oci": global arguments, put before each command. --root, --log, --log-format and, with the systemd driver, --systemd-cgroup are given in any case.`,
  ),
  environment: setting(
    v.array(v.pipe(text, v.regex(/^[^=\0]+=[^\0]*$/, "must be NAME=value"))),
    [],
    `With "oci": its environment besides PATH, "NAME=value".`,
  ),
  root: setting(
    emptyOr(/^(?!.*\/\.\.?(\/|$))\/[^\0]*[^\0/]$/, "an absolute path"),
    "",
    `With "oci": where the program keeps its state. Empty: runtimes/NAME in the state directory.`,
  ),
  timeout_seconds: setting(
    count(1, 3600),
    60,
    `With "oci": how long a command of the program may take. Then it is killed, with all that it has made.`,
  ),
  update_command: setting(
    yesNo,
    true,
    `With "oci": whether the program's "update" is told of new limits. They are written to the container's control group in any case.`,
  ),
  kill_command: setting(
    yesNo,
    false,
    `With "oci": whether signals go by the program's "kill". Needed where its process on the host is not the container's first one, as with runsc.`,
  ),
  assume_features: setting(
    v.array(oneOf(["user_namespaces", "recursive_read_only_mounts"]), "must be a list of strings"),
    [],
    `With "oci": what the program can do besides what its "features" tells, "user_namespaces" or "recursive_read_only_mounts". For programs that do not have that command.`,
  ),
  pod_annotations: setting(
    annotationPatterns,
    [],
    "Annotations of a pod that the OCI configuration of its containers gets: keys, or beginnings of keys with '*' at the end. Runtimes and OCI hooks give some of them power over the host, so name only what you know.",
  ),
  container_annotations: setting(annotationPatterns, [], "The same for a container's own annotations."),
  privileged_without_host_devices: setting(
    yesNo,
    false,
    "A privileged container gets no device of the host but those that it names.",
  ),
});

const runtimes = v.pipe(
  v.record(v.pipe(text, v.regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, "must be a DNS label")), handler),
  v.description("Runtime handlers by name, as a RuntimeClass names them."),
);

const cri = section(
  {
    max_message_bytes: setting(
      count(4_194_304, 1_073_741_824),
      16_777_216,
      "The largest message that is taken or given on the socket. The kubelet's own limit is 16 MiB.",
    ),
  },
  "The CRI front end.",
);

const streaming = section(
  {
    address: setting(
      v.pipe(text, v.regex(/^[0-9A-Za-z.:-]+$/, "must be an IP address or a host name")),
      "127.0.0.1",
      "Where the clients of exec, attach and port-forward are served: the host part of the URLs that the kubelet gets. The kubelet of this node is the only client, so there is no need to open it to others.",
    ),
    port: setting(count(0, 65_535), 0, "0: any free port, taken with the first request."),
    tls: setting(
      oneOf(["off", "self-made", "files"]),
      "off",
      `"off": plain HTTP. "self-made": a certificate made at each start, which clients cannot verify. "files": those of certificate_file and key_file.`,
    ),
    certificate_file: setting(emptyOr(/^\/./, "an absolute path"), "", "PEM, with its chain."),
    key_file: setting(emptyOr(/^\/./, "an absolute path"), "", "PEM."),
    idle_timeout_seconds: setting(
      count(0, 604_800),
      14_400,
      "A connection without any traffic for so long is ended. 0: never.",
    ),
    creation_timeout_seconds: setting(
      count(1, 3600),
      30,
      "How long a client may take to make its streams once it is connected.",
    ),
    max_connections: setting(count(1, 65_535), 1000, "How many clients are served at once."),
  },
  "The server of the streams of exec, attach and port-forward.",
);

const milliseconds = count(1, 600_000);

const nriValidator = section(
  {
    enable: setting(yesNo, false, "Whether there is a validator."),
    reject_oci_hook_adjustment: setting(yesNo, false, "Refuse OCI hooks."),
    reject_runtime_default_seccomp_adjustment: setting(
      yesNo,
      false,
      "Refuse a seccomp policy in place of RuntimeDefault.",
    ),
    reject_unconfined_seccomp_adjustment: setting(
      yesNo,
      false,
      "Refuse a seccomp policy where there was none.",
    ),
    reject_custom_seccomp_adjustment: setting(
      yesNo,
      false,
      "Refuse a seccomp policy in place of a Localhost one.",
    ),
    reject_namespace_adjustment: setting(yesNo, false, "Refuse other namespaces."),
    reject_sysctl_adjustment: setting(yesNo, false, "Refuse sysctls."),
    required_plugins: setting(
      textList,
      [],
      "Names, without index, of plugins without which no container is created.",
    ),
    tolerate_missing_plugins_annotation: setting(
      text,
      "",
      `Pods with this annotation and "true" do without the required plugins. Empty: none do.`,
    ),
  },
  "The validator that comes with NRI, which judges what plugins adjust.",
);

const nri = section(
  {
    enable: setting(yesNo, true, "Whether plugins are told of pods and containers and may change them."),
    socket_path: setting(absolutePath, "/var/run/nri/nri.sock", "Where plugins connect."),
    disable_connections: setting(
      yesNo,
      false,
      "Only plugins of the plugin directory: there is no socket to connect to.",
    ),
    plugin_path: setting(
      absolutePath,
      "/opt/nri/plugins",
      "Directory of plugins that are started with gantryd: executables with names such as 10-logger.",
    ),
    plugin_config_path: setting(
      absolutePath,
      "/etc/nri/conf.d",
      "Their configurations: 10-logger.conf, or else logger.conf.",
    ),
    registration_timeout_ms: setting(
      milliseconds,
      5000,
      "How long a plugin may take to register, and again to take in the pods and containers there are.",
    ),
    request_timeout_ms: setting(
      milliseconds,
      2000,
      "How long a plugin may take to answer a request. Who takes longer is dropped.",
    ),
  },
  "Plugins of the Node Resource Interface. Plugins are as powerful as root.",
);

export const configSchema = v.strictObject({
  root: setting(
    absolutePath,
    "/var/lib/gantry",
    "Directory of what outlives a reboot: images, snapshots, records.",
  ),
  state: setting(
    absolutePath,
    "/run/gantry",
    "Directory of live state: shims, namespaces, sockets. Best on a tmpfs.",
  ),
  listen: setting(
    emptyOr(/^unix:\/\/\/./, `"unix:///PATH"`),
    "",
    "Socket of the CRI, unix:///PATH. Empty: gantry.sock in the state directory.",
  ),
  log: v.optional(log, {}),
  images: v.optional(images, {}),
  network: v.optional(network, {}),
  cni: v.optional(cni, {}),
  runtime: v.optional(runtime, {}),
  runtimes: v.optional(runtimes, { gantry: {} }),
  cri: v.optional(cri, {}),
  streaming: v.optional(streaming, {}),
  nri: v.optional(nri, {}),
  nri_validator: v.optional(nriValidator, {}),
});

/** The settings as they are in the file, all present. */
export type Config = v.InferOutput<typeof configSchema>;
