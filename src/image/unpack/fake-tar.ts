/** Makes tar archives for tests, also wrong ones. Names are byte strings or text; what is text is written as UTF-8. */

export interface FakeEntry {
  name: string;
  /** Type flag; "0" by default, "5" for a name with a slash at its end. */
  type?: string;
  body?: string | Buffer;
  /** Where it shall differ from the body's. */
  size?: number;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  link?: string;
  major?: number;
  minor?: number;
  prefix?: string;
  /** "ustar\0" + "00" by default. */
  magic?: string;
  /** Records of an extended header before the entry. */
  pax?: Record<string, string | Buffer>;
  /** Last chance to change the header block; the checksum comes after it. */
  patch?: (block: Buffer) => void;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

export function padded(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

export function setChecksum(block: Buffer): void {
  block.fill(0x20, 148, 156);
  block.write(
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\0 `,
    148,
    "latin1",
  );
}

export function paxBody(records: Record<string, string | Buffer> | [string, string | Buffer][]): Buffer {
  const parts: Buffer[] = [];
  for (const [key, value] of Array.isArray(records) ? records : Object.entries(records)) {
    const tail = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value as string), Buffer.from("\n")]);
    let length = tail.length + 1;
    while (String(length).length + tail.length !== length) length = String(length).length + tail.length;
    parts.push(Buffer.from(String(length)), tail);
  }
  return Buffer.concat(parts);
}

/** One entry, with its extended header and its padded content. */
export function fakeEntry(entry: FakeEntry): Buffer {
  const body = Buffer.from((entry.body ?? "") as string);
  const type = entry.type ?? (entry.name.endsWith("/") ? "5" : "0");
  const block = Buffer.alloc(512);
  block.write(entry.name, 0, 100);
  block.write(octal(entry.mode ?? (type === "5" ? 0o755 : 0o644), 7), 100);
  block.write(octal(entry.uid ?? 0, 7), 108);
  block.write(octal(entry.gid ?? 0, 7), 116);
  block.write(octal(entry.size ?? body.length, 11), 124);
  block.write(octal(entry.mtime ?? 1_600_000_000, 11), 136);
  block.write(type, 156, "latin1");
  block.write(entry.link ?? "", 157, 100);
  block.write(entry.magic ?? "ustar\u000000", 257, "latin1");
  block.write(octal(entry.major ?? 0, 7), 329);
  block.write(octal(entry.minor ?? 0, 7), 337);
  block.write(entry.prefix ?? "", 345, 155);
  entry.patch?.(block);
  setChecksum(block);
  const pax = entry.pax ? fakeEntry({ name: "pax", type: "x", body: paxBody(entry.pax) }) : Buffer.alloc(0);
  return Buffer.concat([pax, block, padded(body)]);
}

export const END_OF_ARCHIVE: Buffer = Buffer.alloc(1024);

export function fakeTar(...entries: (FakeEntry | Buffer)[]): Buffer {
  return Buffer.concat([...entries.map((e) => (Buffer.isBuffer(e) ? e : fakeEntry(e))), END_OF_ARCHIVE]);
}
