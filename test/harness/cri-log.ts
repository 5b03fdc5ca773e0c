/** Reading a container's log strictly, as its format says (kubernetes/design-proposals, "CRI: log format"). */
import { readFile } from "node:fs/promises";

export interface CriLogLine {
  time: string;
  stream: "stdout" | "stderr";
  /** P: the line goes on in the next entry of this stream. F: it ends here. */
  tag: "P" | "F";
  content: Buffer;
}

const HEADER = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr) ([PF]) $/;
/** Time, stream and tag, each with its space. */
const HEADER_BYTES = 40;

/** @throws for anything that is no well-formed line, and for times that go back. */
export async function readCriLog(path: string): Promise<CriLogLine[]> {
  const bytes = await readFile(path);
  const found: CriLogLine[] = [];
  let last = "";
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(10, at);
    const parts = HEADER.exec(bytes.toString("latin1", at, at + HEADER_BYTES));
    if (end < 0 || !parts)
      throw new Error(`${path}: malformed line ${JSON.stringify(bytes.toString("latin1", at, at + 80))}`);
    const [, time = "", stream, tag] = parts;
    if (time < last) throw new Error(`${path}: time ${time} after ${last}`);
    last = time;
    const content = bytes.subarray(at + HEADER_BYTES, end);
    found.push({ time, stream: stream as CriLogLine["stream"], tag: tag as CriLogLine["tag"], content });
    at = end + 1;
  }
  return found;
}

/** What the container wrote to one stream, joined as a reader of the log does. */
export function joined(lines: readonly CriLogLine[], stream: CriLogLine["stream"]): Buffer {
  const own = lines.filter((line) => line.stream === stream);
  return Buffer.concat(
    own.flatMap(({ content, tag }) => (tag === "F" ? [content, Buffer.from("\n")] : [content])),
  );
}
