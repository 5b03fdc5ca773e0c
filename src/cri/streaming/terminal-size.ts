/**
 * Sizes of a terminal, as a client sends them on the resize stream: one JSON object after the other, which may be cut
 * anywhere. What is not a size is passed over.
 */
import type { Readable } from "node:stream";

export interface TerminalSize {
  width: number;
  height: number;
}

const MAX_OBJECT_CHARACTERS = 1024;
/** Of one client. Reading them costs more than sending them. */
const MAX_JUNK_OBJECTS = 100;
const MAX_CELLS = 65_535;

/** The sizes until the stream ends. @throws where the stream fails, holds no object within 1 KiB, or much that is no size. */
export async function* terminalSizes(stream: Readable): AsyncGenerator<TerminalSize> {
  let text = "";
  let junk = 0;
  for await (const chunk of stream) {
    text += (chunk as Buffer).toString("latin1");
    // A size has no object inside it, so the first brace closes it.
    for (let end = text.indexOf("}"); end >= 0; end = text.indexOf("}")) {
      const size = parseSize(text.slice(0, end + 1));
      text = text.slice(end + 1);
      if (size) yield size;
      else if (++junk > MAX_JUNK_OBJECTS) throw noSize();
    }
    if (text.length > MAX_OBJECT_CHARACTERS) throw noSize();
  }
}

function noSize(): Error {
  return new Error("resize stream: no terminal size");
}

function parseSize(text: string): TerminalSize | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const fields = Object.entries(value ?? {}).map(([name, number]) => [name.toLowerCase(), number] as const);
  const { width, height } = Object.fromEntries(fields) as Record<string, unknown>;
  return isCells(width) && isCells(height) ? { width, height } : undefined;
}

function isCells(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= MAX_CELLS;
}
