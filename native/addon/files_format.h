/* Printed from src/native/files-format.ts by scripts/files-header.ts. Do not edit. */
#ifndef GANTRY_FILES_FORMAT_H
#define GANTRY_FILES_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define FILE_OP_DIRECTORY 1
#define FILE_OP_FILE 2
#define FILE_OP_WRITE 3
#define FILE_OP_SYMLINK 4
#define FILE_OP_HARDLINK 5
#define FILE_OP_NODE 6
#define FILE_OP_WHITEOUT 7
#define FILE_OP_OPAQUE 8
#define FILE_OP_DIRECTORY_METADATA 9
#define FILE_FLAG_CLOSE 1

struct file_op {
    uint32_t length;        /* bytes of the whole record, a multiple of 8 */
    uint16_t operation;     /* FILE_OP_… */
    uint16_t flags;         /* FILE_FLAG_… */
    uint32_t mode;          /* permission bits, for a node also the type */
    uint32_t uid;           /* owner */
    uint32_t gid;           /* group */
    uint32_t mtime_ns;      /* 0–999,999,999 */
    int64_t mtime;          /* seconds since the epoch */
    int64_t atime;          /* seconds since the epoch */
    uint32_t atime_ns;      /* 0–999,999,999 */
    uint32_t major;         /* device number */
    uint32_t minor;         /* device number */
    uint32_t data_offset;   /* where the content starts in the data buffer */
    uint32_t data_length;   /* bytes of content */
    uint16_t path_length;   /* without the NUL; empty for the root */
    uint16_t link_length;   /* without the NUL */
    uint32_t xattrs_length; /* bytes of the extended attributes */
    uint32_t xattrs_count;  /* number of extended attributes */
    uint64_t offset;        /* position of the content in the file */
    uint64_t size;          /* final size of the file, with FILE_FLAG_CLOSE */
};

_Static_assert(sizeof(struct file_op) == 88, "size of struct file_op");
_Static_assert(offsetof(struct file_op, length) == 0, "length");
_Static_assert(offsetof(struct file_op, operation) == 4, "operation");
_Static_assert(offsetof(struct file_op, flags) == 6, "flags");
_Static_assert(offsetof(struct file_op, mode) == 8, "mode");
_Static_assert(offsetof(struct file_op, uid) == 12, "uid");
_Static_assert(offsetof(struct file_op, gid) == 16, "gid");
_Static_assert(offsetof(struct file_op, mtime_ns) == 20, "mtime_ns");
_Static_assert(offsetof(struct file_op, mtime) == 24, "mtime");
_Static_assert(offsetof(struct file_op, atime) == 32, "atime");
_Static_assert(offsetof(struct file_op, atime_ns) == 40, "atime_ns");
_Static_assert(offsetof(struct file_op, major) == 44, "major");
_Static_assert(offsetof(struct file_op, minor) == 48, "minor");
_Static_assert(offsetof(struct file_op, data_offset) == 52, "data_offset");
_Static_assert(offsetof(struct file_op, data_length) == 56, "data_length");
_Static_assert(offsetof(struct file_op, path_length) == 60, "path_length");
_Static_assert(offsetof(struct file_op, link_length) == 62, "link_length");
_Static_assert(offsetof(struct file_op, xattrs_length) == 64, "xattrs_length");
_Static_assert(offsetof(struct file_op, xattrs_count) == 68, "xattrs_count");
_Static_assert(offsetof(struct file_op, offset) == 72, "offset");
_Static_assert(offsetof(struct file_op, size) == 80, "size");

#endif
