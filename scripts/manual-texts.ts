/** What the manual pages say beyond the options, which are the programs' own. */
import { configReferenceLines } from "../src/daemon/config-document.ts";
import type { ManualPage } from "./manual-page.ts";

export const DAEMON_PAGE: ManualPage = {
  name: "gantryd",
  section: 8,
  summary: "a Kubernetes container runtime",
  sections: {
    DESCRIPTION: [
      "gantryd serves the Container Runtime Interface (CRI) on a unix socket. The kubelet and crictl(8) drive pods, containers and images through it.",
      "Each container runs under a shim process of its own, which writes its log and keeps its exit code. The daemon may be stopped, killed and upgraded at any time: containers run on, and the next start finds them.",
    ],
    SIGNALS: [
      "SIGTERM and SIGINT: calls that run get ten seconds to finish, then the daemon ends. Containers run on.",
    ],
    FILES: [
      "/etc/gantry/config.toml, /etc/gantry/conf.d/*.toml: the configuration, see gantry.toml(5).",
      "/var/lib/gantry: images, snapshots and records. /run/gantry: live state, and the socket gantry.sock.",
    ],
    "SEE ALSO": ["gantry.toml(5), gantry-oci(8)"],
  },
};

export const EXECUTOR_PAGE: ManualPage = {
  name: "gantry-oci",
  section: 8,
  summary: "runs containers from OCI bundles",
  sections: {
    DESCRIPTION: [
      "gantry-oci makes containers of bundles: directories with a config.json and a root filesystem. It is the executor of gantryd as a command, with the options that other OCI runtimes have.",
    ],
    "EXIT STATUS": [
      "run and exec in the foreground exit as the process did, with 128 and the signal's number for a death by signal. A failure is one line on standard error and in the log, and exit status 1, or 255 of exec, or 3 where there is no such command.",
    ],
    FILES: ["/run/gantry-oci: state of containers."],
    "SEE ALSO": ["gantryd(8)"],
  },
};

export const CONFIGURATION_PAGE: ManualPage = {
  name: "gantry.toml",
  section: 5,
  summary: "configuration of gantryd",
  sections: {
    DESCRIPTION: [
      "gantryd reads /etc/gantry/config.toml, then the files conf.d/*.toml beside it in the order of their names. Tables merge key by key; everything else is replaced. Everything has a default.",
    ],
    SETTINGS: configReferenceLines(),
    "SEE ALSO": ["gantryd(8)"],
  },
};
