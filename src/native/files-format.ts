/**
 * The binary form of file operations, as the unpacker hands them to the native half in batches.
 *
 *   record   fixed header (FIELDS, little-endian) · path NUL · link NUL · xattrs · padding to 8 bytes
 *   xattr    u32 length of the name · u32 length of the value · name NUL · value
 *
 * This table is the only definition: native/addon/files_format.h is printed from it (scripts/files-header.ts) and a
 * test compares the two. The format never leaves the process.
 */

interface Field {
  name: string;
  type: "u16" | "u32" | "i64" | "u64";
  doc: string;
}

export const FILE_OPERATIONS = {
  /** Makes the directory with its parents, or keeps the one that is there. Metadata comes with `directory_metadata`. */
  directory: 1,
  /** Makes a regular file and writes `data_length` bytes at `offset`. With FLAG_CLOSE it is complete. */
  file: 2,
  /** Writes `data_length` bytes at `offset` into the file that is open. With FLAG_CLOSE it is complete. */
  write: 3,
  symlink: 4,
  /** A hard link to `link`, which is itself a path within the tree; a symbolic link there is not followed. */
  hardlink: 5,
  /** A device or fifo; `mode` has the type bits. */
  node: 6,
  /** The overlayfs form of "deleted below": a character device 0:0; on a directory of this layer, opaque. */
  whiteout: 7,
  /** Marks the directory as opaque, making it where it is missing. */
  opaque: 8,
  /** Owner, mode, extended attributes and times of a directory; no error where there is none any more. */
  directory_metadata: 9,
} as const;

/** `file`, `write`: the file is complete; its size becomes `size`, and the metadata is that of this record. */
export const FLAG_CLOSE = 1;

export const FIELDS: readonly Field[] = [
  { name: "length", type: "u32", doc: "bytes of the whole record, a multiple of 8" },
  { name: "operation", type: "u16", doc: "FILE_OP_…" },
  { name: "flags", type: "u16", doc: "FILE_FLAG_…" },
  { name: "mode", type: "u32", doc: "permission bits, for a node also the type" },
  { name: "uid", type: "u32", doc: "owner" },
  { name: "gid", type: "u32", doc: "group" },
  { name: "mtime_ns", type: "u32", doc: "0–999,999,999" },
  { name: "mtime", type: "i64", doc: "seconds since the epoch" },
  { name: "atime", type: "i64", doc: "seconds since the epoch" },
  { name: "atime_ns", type: "u32", doc: "0–999,999,999" },
  { name: "major", type: "u32", doc: "device number" },
  { name: "minor", type: "u32", doc: "device number" },
  { name: "data_offset", type: "u32", doc: "where the content starts in the data buffer" },
  { name: "data_length", type: "u32", doc: "bytes of content" },
  { name: "path_length", type: "u16", doc: "without the NUL; empty for the root" },
  { name: "link_length", type: "u16", doc: "without the NUL" },
  { name: "xattrs_length", type: "u32", doc: "bytes of the extended attributes" },
  { name: "xattrs_count", type: "u32", doc: "number of extended attributes" },
  { name: "offset", type: "u64", doc: "position of the content in the file" },
  { name: "size", type: "u64", doc: "final size of the file, with FILE_FLAG_CLOSE" },
];

const WIDTH = { u16: 2, u32: 4, i64: 8, u64: 8 };
const C_TYPE = { u16: "uint16_t", u32: "uint32_t", i64: "int64_t", u64: "uint64_t" };

function offsets(): Record<string, number> {
  const result: Record<string, number> = {};
  let at = 0;
  for (const field of FIELDS) {
    if (at % WIDTH[field.type] !== 0) throw new Error(`field ${field.name} is not aligned`);
    result[field.name] = at;
    at += WIDTH[field.type];
  }
  result["end"] = at;
  return result;
}

/** Where each field starts; `end` is the size of the header. */
export const FIELD_OFFSETS: Readonly<Record<string, number>> = offsets();

/** The text of native/addon/files_format.h. */
export function filesFormatHeader(): string {
  const width = Math.max(...FIELDS.map((field) => `    ${C_TYPE[field.type]} ${field.name};`.length));
  const lines = [
    "/* Printed from src/native/files-format.ts by scripts/files-header.ts. Do not edit. */",
    "#ifndef GANTRY_FILES_FORMAT_H",
    "#define GANTRY_FILES_FORMAT_H",
    "",
    "#include <stddef.h>",
    "#include <stdint.h>",
    "",
    ...Object.entries(FILE_OPERATIONS).map(
      ([name, number]) => `#define FILE_OP_${name.toUpperCase()} ${number}`,
    ),
    `#define FILE_FLAG_CLOSE ${FLAG_CLOSE}`,
    "",
    "struct file_op {",
    ...FIELDS.map(
      (field) => `    ${C_TYPE[field.type]} ${field.name};`.padEnd(width) + ` /* ${field.doc} */`,
    ),
    "};",
    "",
    `_Static_assert(sizeof(struct file_op) == ${FIELD_OFFSETS["end"]}, "size of struct file_op");`,
    ...FIELDS.map(
      ({ name }) => `_Static_assert(offsetof(struct file_op, ${name}) == ${FIELD_OFFSETS[name]}, "${name}");`,
    ),
    "",
    "#endif",
  ];
  return lines.join("\n") + "\n";
}
