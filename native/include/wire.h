/*
 * Reading records of the binary formats that TypeScript and C share (src/base/wire-table.ts describes them).
 *
 * wire_next() is the one cursor: it gives a record only when all of it lies within the bytes. The structs of
 * a format are copied out with wire_fields(), so that alignment does not matter; spans are looked up with
 * wire_string() and wire_bytes(), which check that they lie within the record and, for strings, end in a NUL.
 */
#ifndef GANTRY_WIRE_H
#define GANTRY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_header {
    uint16_t code;
    uint16_t fixed;
    uint32_t length;
};

struct wire_span {
    uint32_t offset;
    uint32_t length;
};

struct wire_list {
    uint32_t offset;
    uint32_t length;
    uint32_t count;
};

_Static_assert(sizeof(struct wire_header) == 8 && sizeof(struct wire_list) == 12, "wire format");

struct wire_cursor {
    const uint8_t *next;
    size_t left;
};

struct wire_record {
    struct wire_header header;
    const uint8_t *start;
};

/* The next record, whole. False at the end, and where the bytes are not a record. */
static inline bool wire_next(struct wire_cursor *cursor, struct wire_record *record) {
    if (cursor->left < sizeof(record->header)) return false;
    memcpy(&record->header, cursor->next, sizeof(record->header));
    const struct wire_header *header = &record->header;
    if (header->length > cursor->left || header->length % 8 != 0) return false;
    if (header->fixed < sizeof(*header) || header->fixed > header->length) return false;
    record->start = cursor->next;
    cursor->next += header->length;
    cursor->left -= header->length;
    return true;
}

/* Copies the fields into a generated struct of `size` bytes; fields that the writer did not know are zero. */
static inline void wire_fields(const struct wire_record *record, void *out, size_t size) {
    size_t have = record->header.fixed < size ? record->header.fixed : size;
    memset(out, 0, size);
    memcpy(out, record->start, have);
}

/* The bytes of a span; NULL when it does not lie in the record's variable part, followed by at least one
 * byte. */
static inline const uint8_t *wire_bytes(const struct wire_record *record, struct wire_span span) {
    uint32_t end = record->header.length;
    if (span.offset < record->header.fixed || span.offset >= end || span.length >= end - span.offset)
        return NULL;
    return record->start + span.offset;
}

/* A string in place; NULL when the span is bad, or has an inner NUL or no final one. */
static inline const char *wire_string(const struct wire_record *record, struct wire_span span) {
    const uint8_t *bytes = wire_bytes(record, span);
    if (bytes == NULL || memchr(bytes, 0, (size_t)span.length + 1) != bytes + span.length) return NULL;
    return (const char *)bytes;
}

/* The first of the list's strings, which follow each other; NULL unless there are exactly `count`. */
static inline const char *wire_strings(const struct wire_record *record, struct wire_list list) {
    uint32_t end = record->header.length;
    if (list.offset < record->header.fixed || list.offset > end || list.length > end - list.offset)
        return NULL;
    const uint8_t *bytes = record->start + list.offset;
    if (list.length > 0 && bytes[list.length - 1] != 0) return NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < list.length; i++)
        count += bytes[i] == 0;
    return count == list.count ? (const char *)bytes : NULL;
}

/* The string after `string` in a list. */
static inline const char *wire_string_after(const char *string) {
    return string + strlen(string) + 1;
}

#endif
