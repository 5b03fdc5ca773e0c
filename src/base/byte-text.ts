/**
 * Bytes that are mostly UTF-8 as a string that loses none of them: a byte that is not part of UTF-8 text becomes the
 * lone surrogate U+DC80 to U+DCFF, which no UTF-8 text decodes to (the way of Python's "surrogateescape", PEP 383). So
 * environments can be kept, compared and written as JSON like any text, and reach the process as they were given.
 */

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ESCAPE = 0xdc00;

export function textOfBytes(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    return escaped(bytes);
  }
}

/** The bytes that a text stands for. */
export function bytesOfText(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text);
  const parts = text.split(/([\udc80-\udcff])/u);
  return Buffer.concat(
    parts.map((part) => {
      const code = part.charCodeAt(0);
      const isByte = part.length === 1 && code >= 0xdc80 && code <= 0xdcff;
      return isByte ? Buffer.of(code - ESCAPE) : Buffer.from(part);
    }),
  );
}

/** Sequences of UTF-8 are kept, every other byte is escaped. */
function escaped(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length;) {
    const length = sequenceLength(bytes, start);
    text +=
      length === 0
        ? String.fromCharCode(ESCAPE + (bytes[start] ?? 0))
        : strict.decode(bytes.subarray(start, start + length));
    start += Math.max(length, 1);
  }
  return text;
}

/** Of the sequence that begins there; 0 where none does. */
function sequenceLength(bytes: Uint8Array, start: number): number {
  const first = bytes[start] ?? 0;
  const length =
    first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length < 2) return length;
  try {
    strict.decode(bytes.subarray(start, start + length));
    return start + length <= bytes.length ? length : 0;
  } catch {
    return 0;
  }
}
