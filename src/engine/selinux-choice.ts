/**
 * SELinux labels of a container. Without SELinux in the kernel there are none, whatever is asked for: manifests name
 * labels for all nodes, and a node without SELinux ignores them, as other runtimes do.
 */
import { randomInt } from "node:crypto";
import { GantryError } from "../base/errors.ts";
import { labelTree } from "../native/label.ts";
import { type SelinuxContext, selinuxText } from "../oci/selinux.ts";
import type { ContainerSecurity } from "./container.ts";
import type { EngineContext } from "./engine-context.ts";
import type { PodSandbox } from "./pod-sandbox.ts";
import type { SelinuxLabel } from "./security.ts";

const CATEGORIES = 1024;
/** Of privileged containers: a type that the policy does not confine, with access to every category. */
const UNCONFINED = { type: "spc_t", level: "s0" };
const ATTRIBUTE = "security.selinux";

export interface SelinuxLabels {
  process: string;
  /** Of the files that the container makes and of those that are relabelled for it. */
  mount: string;
}

/** @throws invalid-argument for a label that is not in the host's policy. */
export async function selinuxChoice(
  { selinux }: Pick<EngineContext, "selinux">,
  security: Pick<ContainerSecurity, "selinux" | "privileged">,
  sandbox: Pick<PodSandbox, "config" | "selinuxLevel">,
): Promise<SelinuxLabels | undefined> {
  if (!selinux.enabled) return undefined;
  const { process, file } = selinux.contexts();
  const asked: Partial<SelinuxLabel> = security.selinux ?? sandbox.config.selinux ?? {};
  const level = asked.level || sandbox.selinuxLevel || process.level;
  const own = security.privileged ? UNCONFINED : { type: process.type, level };
  const labels = {
    process: selinuxText({
      user: asked.user || process.user,
      role: asked.role || process.role,
      type: asked.type || own.type,
      level: asked.level || own.level,
    }),
    mount: selinuxText({ ...file, user: asked.user || file.user, level } satisfies SelinuxContext),
  };
  await selinux.check(labels.process);
  await selinux.check(labels.mount);
  return labels;
}

/** The level of a new pod: two categories that no other pod has, so that none can reach another's files. */
export function newSelinuxLevel({
  selinux,
  pods,
}: Pick<EngineContext, "selinux" | "pods">): string | undefined {
  if (!selinux.enabled) return undefined;
  const taken = new Set([...pods.all()].map(({ sandbox }) => sandbox.selinuxLevel));
  for (;;) {
    const [low, high] = [randomInt(CATEGORIES), randomInt(CATEGORIES)].toSorted((a, b) => a - b);
    const level = `s0:c${low},c${high}`;
    if (low !== high && !taken.has(level)) return level;
  }
}

/** Directories of the system, which would be unusable for it with a container's label. */
const NEVER = new Set(
  "/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var /var/lib /var/log /var/run".split(
    " ",
  ),
);

/**
 * Labels a host path for a container.
 * @param path absolute, without symbolic links.
 * @param attribute for tests.
 * @throws failed-precondition for a directory of the system, and where the filesystem refuses.
 */
export async function relabel(path: string, label: string, attribute = ATTRIBUTE): Promise<void> {
  if (NEVER.has(path) || /^\/(?:etc|usr|boot|proc|sys|dev)\//.test(path) || /^\/home\/[^/]+$/.test(path))
    throw new GantryError("failed-precondition", `relabel ${path}: it is the system's`);
  await labelTree(path, attribute, label);
}
