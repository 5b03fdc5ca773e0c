/*
 * Frames and fields of the shim protocol, as shim_protocol_generated.h numbers them: one bounds-checked
 * cursor for reading, one bounded buffer for writing. Nothing here allocates; see connection.h for who owns
 * the bytes.
 */
#ifndef GANTRY_SHIM_FRAME_H
#define GANTRY_SHIM_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim_protocol_generated.h"

struct frame {
    uint32_t length; /* of payload */
    uint16_t type;
    uint32_t request;
    const uint8_t *payload;
};

/* Bytes [start, end) of data are in use. */
struct buffer {
    uint8_t *data;
    size_t capacity, start, end;
};

size_t buffer_used(const struct buffer *buffer);
/* Free bytes, once what is in use has been moved to the front. */
size_t buffer_room(const struct buffer *buffer);
void buffer_compact(struct buffer *buffer);
void buffer_consume(struct buffer *buffer, size_t length);

/* Reads a header without consuming it; false when fewer bytes than a header are there. */
bool frame_peek(const struct buffer *buffer, struct frame *out);
/* A header at `at`. */
void frame_header(uint8_t *at, uint32_t length, uint16_t type, uint32_t request);

/* Fields of a payload by tag; the last of equal tags counts. False where absent or of another width. */
bool field_u32(const struct frame *frame, uint16_t tag, uint32_t *out);
bool field_bytes(const struct frame *frame, uint16_t tag, const uint8_t **data, size_t *length);
/* Text, copied with a NUL; false where absent, not shorter than size, or holding a NUL. */
bool field_text(const struct frame *frame, uint16_t tag, char *out, size_t size);
/* False where the fields do not fill the payload exactly. */
bool fields_valid(const struct frame *frame);

/* A small frame being written. */
struct reply {
    uint8_t bytes[2048];
    size_t length;
};

void reply_begin(struct reply *reply, uint16_t type, uint32_t request);
void reply_u32(struct reply *reply, uint16_t tag, uint32_t value);
void reply_u64(struct reply *reply, uint16_t tag, uint64_t value);
void reply_text(struct reply *reply, uint16_t tag, const char *text);

#endif
