/** Descriptors of the metrics, and the metrics of pods in the wire format. */
import type { ContainerMeasures, InterfaceCounters, PodMeasures } from "../engine/resources.ts";
import type { MetricDescriptor } from "./generated/runtime/v1/MetricDescriptor.ts";
import { ByteWriter, type LabelBytes, labelBytes, MetricName } from "./metric-encoding.ts";
import { COMMON_LABELS, CONTAINER_FAMILIES, type MetricFamily, POD_FAMILIES } from "./metric-families.ts";

/** A family with what its metrics have in common, and where its own labels stand among the sorted ones. */
class Encoder<Measures> {
  readonly name: MetricName;
  readonly #family: MetricFamily<Measures>;
  /** For each label: the index of a common one, or of one of the family's, counted after those. */
  readonly #order: readonly number[];

  constructor(family: MetricFamily<Measures>) {
    this.#family = family;
    const keys = [...COMMON_LABELS, ...(family.labels ?? [])];
    this.name = new MetricName(family.name, family.type, keys);
    this.#order = this.name.labelKeys.map((key) => keys.indexOf(key));
  }

  descriptor(): MetricDescriptor {
    const { name, help } = this.#family;
    return { name, help, label_keys: [...this.name.labelKeys] };
  }

  /** Appends the family's metrics as elements of the field `metrics`, which has one number in both messages. */
  write(writer: ByteWriter, measures: Measures, common: readonly LabelBytes[]): void {
    this.#family.values(measures, (value, labels, timestampNs) => {
      const values = labels ? this.#labels(common, labels) : common;
      writer.metric(METRICS_FIELD, this.name, values, value, timestampNs);
    });
  }

  #labels(common: readonly LabelBytes[], own: readonly string[]): LabelBytes[] {
    return this.#order.map((index) => common[index] ?? labelBytes(own[index - COMMON_LABELS.length] ?? ""));
  }
}

const METRICS_FIELD = 2;
const CONTAINER_METRICS_FIELD = 3;

const containerEncoders = CONTAINER_FAMILIES.map((family) => new Encoder<ContainerMeasures>(family));
const podEncoders = POD_FAMILIES.map((family) => new Encoder<InterfaceCounters[]>(family));

/** The same for as long as the daemon runs. */
export const METRIC_DESCRIPTORS: readonly MetricDescriptor[] = [...containerEncoders, ...podEncoders].map(
  (encoder) => encoder.descriptor(),
);

/** PodSandboxMetrics messages as elements of field 1, which is where both replies have them. */
export function podMetricsBytes(pods: readonly PodMeasures[]): Buffer {
  const reply = new ByteWriter(pods.length * 32 * 1024);
  const podWriter = new ByteWriter();
  const containerWriter = new ByteWriter();
  for (const pod of pods) {
    podWriter.clear();
    podWriter.text(1, pod.sandbox.id);
    const labels = commonLabels(pod.cgroupPath, "", pod.sandbox.id);
    const { interfaces } = pod;
    if (interfaces) for (const encoder of podEncoders) encoder.write(podWriter, interfaces, labels);
    for (const measures of pod.containers) {
      containerWriter.clear();
      writeContainer(containerWriter, measures);
      const bytes = containerWriter.bytes();
      podWriter.header(CONTAINER_METRICS_FIELD, bytes.length);
      podWriter.append(bytes);
    }
    const bytes = podWriter.bytes();
    reply.header(1, bytes.length);
    reply.append(bytes);
  }
  return Buffer.from(reply.bytes());
}

function writeContainer(writer: ByteWriter, measures: ContainerMeasures): void {
  const { container, cgroupPath } = measures;
  const image = container.config.image.userSpecifiedImage || container.imageRef;
  const labels = commonLabels(cgroupPath, image, container.id);
  writer.text(1, container.id);
  for (const encoder of containerEncoders) encoder.write(writer, measures, labels);
}

/** In the order of COMMON_LABELS, which is sorted. */
function commonLabels(id: string, image: string, name: string): LabelBytes[] {
  return [labelBytes(id), labelBytes(image), labelBytes(name)];
}
