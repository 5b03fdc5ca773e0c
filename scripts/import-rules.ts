/**
 * Which module may import which: the table of the project's layout, as data. check-imports.ts applies it.
 *
 * A module is a folder of src. The list of a module names the modules below it; a name with a slash allows only
 * that file. What is outside of src (tests, benchmarks, scripts) may import anything, and nothing in src imports it.
 */
export const MODULES: Record<string, readonly string[]> = {
  base: [],
  native: ["base"],
  store: ["base", "native"],
  netlink: ["base", "native"],
  oci: ["base", "native", "netlink"],
  shim: ["base", "native"],
  network: ["base", "native", "netlink"],
  snapshotter: ["base", "native"],
  image: ["base", "native", "store", "snapshotter/snapshotter"],
  engine: ["base", "native", "store", "oci", "shim", "network", "snapshotter", "image"],
  cri: ["base", "engine"],
  nri: ["base", "native", "engine"],
  daemon: [
    "base",
    "native",
    "store",
    "oci",
    "shim",
    "network",
    "snapshotter",
    "image",
    "engine",
    "cri",
    "nri",
  ],
};

/** The packages from the registry, and the only modules that may import them. */
export const PACKAGES: Record<string, readonly string[]> = {
  "@grpc/grpc-js": ["cri"],
  "@grpc/proto-loader": ["cri", "nri"],
  protobufjs: ["cri", "nri"],
  undici: ["image"],
  tar: ["image"],
  "@homebridge/dbus-native": ["oci"],
  commander: ["daemon"],
  pino: ["daemon"],
  "pino-pretty": ["daemon"],
  "smol-toml": ["daemon", "image"],
  valibot: ["daemon", "oci"],
  ws: ["cri"],
  yaml: ["oci"],
};

/** Built-in modules that only these modules may import; the others are free. */
export const BUILT_IN: Record<string, readonly string[]> = {
  "node:http": ["cri"],
  "node:https": ["cri"],
  "node:http2": [],
  "node:sqlite": ["store"],
  "node:worker_threads": ["image"],
};

/** Built-in modules by exception: what src/base may import is everything of node: but these. */
export const BASE_MAY_NOT = [
  "node:child_process",
  "node:http",
  "node:https",
  "node:http2",
  "node:net",
  "node:sqlite",
];

/** Tests and benchmarks beside the sources may also use these, whatever their module may. */
export const TEST_PACKAGES = [
  "node:http",
  "node:https",
  "node:worker_threads",
  "smol-toml",
  "spdy-transport",
];
