/**
 * What pods were attached to, or were about to be: written before the first plugin runs and deleted after the last one
 * has undone its work, so that nothing that was begun is forgotten. A pod's record keeps the configuration it was made
 * with, whatever becomes of the files.
 */
import type { CniAttachment } from "./cni-cache.ts";

export interface CniPodRecord {
  /** In the order in which they are made. */
  attachments: CniAttachment[];
  /** The name of the namespace that was made for the plugins; absent where they have the engine's. */
  published?: string;
}

/** What a RecordTable of the record store offers, as far as it is needed here. */
export interface CniRecordTable {
  get(podSandboxId: string): CniPodRecord | undefined;
  put(podSandboxId: string, record: CniPodRecord): void;
  delete(podSandboxId: string): void;
  list(): { id: string; record: CniPodRecord }[];
}

/** What the kubelet told of the node; it tells it to us once. */
export interface PodCidrTable {
  get(id: "pod-cidrs"): string[] | undefined;
  put(id: "pod-cidrs", podCidrs: string[]): void;
}
