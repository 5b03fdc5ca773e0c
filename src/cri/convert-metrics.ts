/**
 * Descriptors of the metrics, and the metrics of pods in the wire format (wire-writer.ts). A node with 250 pods has some
 * twenty thousand metrics, whose names and labels repeat: what repeats is encoded once.
 *
 *   message Metric            1 name, 2 timestamp, 3 metric_type, 4 label_values, 5 value { 1 value }
 *   message ContainerMetrics  1 container_id, 2 metrics
 *   message PodSandboxMetrics 1 pod_sandbox_id, 2 metrics, 3 container_metrics
 */
import type { ContainerMeasures, InterfaceCounters, PodMeasures } from "../engine/resources.ts";
import type { MetricDescriptor } from "./generated/runtime/v1/MetricDescriptor.ts";
import {
  COMMON_LABELS,
  CONTAINER_FAMILIES,
  type Emit,
  type MetricFamily,
  POD_FAMILIES,
} from "./metric-families.ts";
import { stringField, type WireWriter } from "./wire-writer.ts";

const GAUGE = 1;

/** Labels that several metrics have: their values as fields, one by one and one after the other. */
interface CommonLabels {
  fields: readonly Uint8Array[];
  together: Uint8Array;
}

/** A family with what its metrics have in common, and where its own labels stand among the sorted ones. */
class FamilyWriter<Measures> {
  readonly #family: MetricFamily<Measures>;
  readonly #name: Uint8Array;
  readonly #keys: readonly string[];
  /** For each label: the index of a common one, or of one of the family's, counted after those. */
  readonly #order: readonly number[];
  #target: { writer: WireWriter; common: CommonLabels } | undefined;

  constructor(family: MetricFamily<Measures>) {
    this.#family = family;
    this.#name = stringField(1, family.name);
    const keys = [...COMMON_LABELS, ...(family.labels ?? [])];
    this.#keys = keys.toSorted();
    this.#order = this.#keys.map((key) => keys.indexOf(key));
  }

  descriptor(): MetricDescriptor {
    const { name, help } = this.#family;
    return { name, help, label_keys: [...this.#keys] };
  }

  /** The family's metrics as elements of field 2, which `metrics` is in both messages. */
  write(writer: WireWriter, measures: Measures, common: CommonLabels): void {
    this.#target = { writer, common };
    this.#family.values(measures, this.#emit);
    this.#target = undefined;
  }

  /** One for all calls, of which there are tens of thousands for a list. */
  readonly #emit: Emit = (value, labels, timestampNs) => {
    if (!this.#target) return;
    const { writer, common } = this.#target;
    const start = writer.begin(2);
    writer.raw(this.#name);
    if (timestampNs !== undefined) writer.number(2, timestampNs);
    if (this.#family.type === "gauge") writer.number(3, GAUGE);
    if (labels) this.#writeLabels(writer, common, labels);
    else writer.raw(common.together);
    writer.count(5, Number.isFinite(value) ? Math.floor(value) : 0);
    writer.end(start);
  };

  #writeLabels(writer: WireWriter, common: CommonLabels, own: readonly string[]): void {
    for (const index of this.#order) {
      const field = common.fields[index];
      if (field) writer.raw(field);
      else writer.string(4, own[index - COMMON_LABELS.length] ?? "");
    }
  }
}

const containerFamilies = CONTAINER_FAMILIES.map((family) => new FamilyWriter<ContainerMeasures>(family));
const podFamilies = POD_FAMILIES.map((family) => new FamilyWriter<InterfaceCounters[]>(family));

/** The same for as long as the daemon runs. */
export const METRIC_DESCRIPTORS: readonly MetricDescriptor[] = [...containerFamilies, ...podFamilies].map(
  (family) => family.descriptor(),
);

/** The message PodSandboxMetrics as the value of field 1, where both replies have it. */
export function writePodMetrics(writer: WireWriter, pod: PodMeasures): void {
  const { sandbox, cgroupPath, interfaces } = pod;
  const start = writer.begin(1);
  writer.string(1, sandbox.id);
  if (interfaces) {
    const labels = commonLabels(cgroupPath, "", sandbox.id);
    for (const family of podFamilies) family.write(writer, interfaces, labels);
  }
  for (const measures of pod.containers) {
    const { container } = measures;
    const image = container.config.image.userSpecifiedImage || container.imageRef;
    const labels = commonLabels(measures.cgroupPath, image, container.id);
    const inner = writer.begin(3);
    writer.string(1, container.id);
    for (const family of containerFamilies) family.write(writer, measures, labels);
    writer.end(inner);
  }
  writer.end(start);
}

/** In the order of COMMON_LABELS, which is sorted. */
function commonLabels(id: string, image: string, name: string): CommonLabels {
  const fields = [id, image, name].map((value) => stringField(4, value));
  return { fields, together: Buffer.concat(fields) };
}
