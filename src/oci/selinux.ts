/**
 * SELinux on this host: whether the kernel enforces or at least applies a policy, the labels that the policy has for
 * containers and their files (lxc_contexts), and whether a label is one of the policy.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { GantryError } from "../base/errors.ts";

export interface SelinuxOptions {
  /** Default: "/sys/fs/selinux". */
  selinuxfs?: string;
  /** Default: "/etc/selinux". */
  configuration?: string;
  /** Label of this process; default: "/proc/self/attr/current". */
  current?: string;
}

export interface SelinuxContext {
  user: string;
  role: string;
  type: string;
  level: string;
}

const PROCESS = "system_u:system_r:container_t:s0";
const FILE = "system_u:object_r:container_file_t:s0";

export class Selinux {
  readonly enabled: boolean;
  readonly #selinuxfs: string;
  readonly #configuration: string;
  #contexts: { process: SelinuxContext; file: SelinuxContext } | undefined;

  constructor(options: SelinuxOptions = {}) {
    const { selinuxfs = "/sys/fs/selinux", configuration = "/etc/selinux" } = options;
    this.#selinuxfs = selinuxfs;
    this.#configuration = configuration;
    // Until a policy is loaded every process has the label "kernel".
    const label = textOf(options.current ?? "/proc/self/attr/current")
      .replace(/\0.*$/s, "")
      .trim();
    this.enabled = existsSync(join(selinuxfs, "context")) && label !== "" && label !== "kernel";
  }

  /** Labels of a container's processes and files, to which levels are given. Read once. */
  contexts(): { process: SelinuxContext; file: SelinuxContext } {
    return (this.#contexts ??= this.#readContexts());
  }

  /** @throws GantryError invalid-argument for a label that the policy does not have. */
  async check(label: string): Promise<void> {
    try {
      await process
        .getBuiltinModule("node:fs/promises")
        .writeFile(join(this.#selinuxfs, "context"), label, { flag: "r+" });
    } catch (error) {
      throw new GantryError("invalid-argument", `SELinux label "${label}" is not one of the host's policy`, {
        cause: error,
      });
    }
  }

  #readContexts(): { process: SelinuxContext; file: SelinuxContext } {
    const type = /^\s*SELINUXTYPE\s*=\s*(\S+)/m.exec(textOf(join(this.#configuration, "config")))?.[1];
    const text = textOf(join(this.#configuration, type ?? "targeted", "contexts/lxc_contexts"));
    const value = (key: string): string | undefined =>
      new RegExp(`^\\s*${key}\\s*=\\s*"?([^"\\s]+)"?\\s*$`, "m").exec(text)?.[1];
    return { process: parseContext(value("process") ?? PROCESS), file: parseContext(value("file") ?? FILE) };
  }
}

export function selinuxText({ user, role, type, level }: SelinuxContext): string {
  return `${user}:${role}:${type}:${level}`;
}

function parseContext(text: string): SelinuxContext {
  const [user = "", role = "", type = "", ...level] = text.split(":");
  return { user, role, type, level: level.join(":") || "s0" };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
