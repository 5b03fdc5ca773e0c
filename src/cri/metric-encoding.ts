/**
 * Metrics in the wire format, written by hand: a node with 250 pods has some twenty thousand, whose names and labels
 * repeat. What repeats is encoded once, and a metric is then four copies of bytes, ten times faster than through
 * objects. Field numbers are those of proto/runtime/v1/api.proto; the test decodes with that definition.
 *
 *   message Metric            1 name, 2 timestamp, 3 metric_type, 4 label_values, 5 value { 1 value }
 *   message ContainerMetrics  1 container_id, 2 metrics
 *   message PodSandboxMetrics 1 pod_sandbox_id, 2 metrics, 3 container_metrics
 */

/** The parts of a metric that are the same for all containers. */
export class MetricName {
  /** Names of its labels, sorted. */
  readonly labelKeys: readonly string[];
  /** Fields 1 and 3. */
  readonly head: Uint8Array;

  constructor(name: string, type: "counter" | "gauge", labelKeys: readonly string[]) {
    this.labelKeys = labelKeys.toSorted();
    const text = stringField(1, name);
    this.head = type === "counter" ? text : Buffer.concat([text, Uint8Array.of(0x18, 1)]);
  }
}

/** A label's value as it is written. */
export type LabelBytes = Uint8Array;

export function labelBytes(value: string): LabelBytes {
  return stringField(4, value);
}

function stringField(field: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  const writer = new ByteWriter(bytes.length + 8);
  writer.header(field, bytes.length);
  writer.append(bytes);
  return Buffer.from(writer.bytes());
}

/** Bytes that grow. */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = 16 * 1024) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  /** The start of a length-delimited field. */
  header(field: number, length: number): void {
    this.#reserve(12);
    this.#buffer[this.#length++] = (field << 3) | 2;
    this.#varint(length);
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  text(field: number, text: string): void {
    this.append(stringField(field, text));
  }

  /**
   * One Metric as an element of the field. Labels are in the order of the name's keys.
   * @param timestampNs when the value is not of now.
   */
  metric(
    field: number,
    name: MetricName,
    labels: readonly LabelBytes[],
    value: number,
    timestampNs?: bigint,
  ): void {
    const whole = Number.isFinite(value) && value > 0 ? Math.floor(value) : 0;
    const valueLength = whole === 0 ? 0 : 1 + varintLength(whole);
    // A time since the epoch has more bits than a number keeps, of which the clock gives fewer.
    const at = timestampNs === undefined ? 0 : Number(timestampNs / 1000n) * 1000;
    let length = name.head.length + 2 + valueLength + (at === 0 ? 0 : 1 + varintLength(at));
    for (const label of labels) length += label.length;
    this.#reserve(length + 12);
    this.header(field, length);
    this.append(name.head);
    if (at !== 0) {
      this.#buffer[this.#length++] = 2 << 3;
      this.#varint(at);
    }
    for (const label of labels) this.append(label);
    this.#buffer[this.#length++] = (5 << 3) | 2;
    this.#buffer[this.#length++] = valueLength;
    if (whole === 0) return;
    this.#buffer[this.#length++] = 1 << 3;
    this.#varint(whole);
  }

  /** What has been written; valid until the next write. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /** Room has been reserved. */
  #varint(value: number): void {
    let rest = value;
    while (rest >= 128) {
      this.#buffer[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.#length++] = rest;
  }

  #reserve(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(wanted, this.#buffer.length * 2));
    larger.set(this.bytes());
    this.#buffer = larger;
  }
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}
