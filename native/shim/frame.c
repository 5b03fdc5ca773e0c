/* Frames and fields. See frame.h. */
#define _GNU_SOURCE
#include "frame.h"

#include <string.h>

size_t buffer_used(const struct buffer *buffer) {
    return buffer->end - buffer->start;
}

size_t buffer_room(const struct buffer *buffer) {
    return buffer->capacity - buffer_used(buffer);
}

void buffer_compact(struct buffer *buffer) {
    if (buffer->start == 0) return;
    memmove(buffer->data, buffer->data + buffer->start, buffer_used(buffer));
    buffer->end -= buffer->start;
    buffer->start = 0;
}

void buffer_consume(struct buffer *buffer, size_t length) {
    buffer->start += length;
    if (buffer->start == buffer->end) buffer->start = buffer->end = 0;
}

static uint16_t get_u16(const uint8_t *at) {
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)get_u16(at) | (uint32_t)get_u16(at + 2) << 16;
}

static void put_u16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *at, uint32_t value) {
    put_u16(at, (uint16_t)value);
    put_u16(at + 2, (uint16_t)(value >> 16));
}

bool frame_peek(const struct buffer *buffer, struct frame *out) {
    if (buffer_used(buffer) < SHIM_FRAME_HEADER_BYTES) return false;
    const uint8_t *at = buffer->data + buffer->start;
    out->length = get_u32(at);
    out->type = get_u16(at + 4);
    out->request = get_u32(at + 8);
    out->payload = at + SHIM_FRAME_HEADER_BYTES;
    return true;
}

void frame_header(uint8_t *at, uint32_t length, uint16_t type, uint32_t request) {
    put_u32(at, length);
    put_u16(at + 4, type);
    put_u16(at + 6, 0);
    put_u32(at + 8, request);
}

/* The next field at *at; false at the end or where the payload is cut short. */
static bool next_field(const struct frame *frame, size_t *at, uint16_t *tag, const uint8_t **data,
                       size_t *length) {
    size_t left = frame->length - *at;
    if (left < SHIM_FIELD_HEADER_BYTES) return false;
    const uint8_t *field = frame->payload + *at;
    size_t size = get_u32(field + 4);
    if (size > left - SHIM_FIELD_HEADER_BYTES) return false;
    *tag = get_u16(field);
    *data = field + SHIM_FIELD_HEADER_BYTES;
    *length = size;
    *at += SHIM_FIELD_HEADER_BYTES + size;
    return true;
}

bool fields_valid(const struct frame *frame) {
    size_t at = 0, length;
    uint16_t tag;
    const uint8_t *data;
    while (next_field(frame, &at, &tag, &data, &length)) {
    }
    return at == frame->length;
}

bool field_bytes(const struct frame *frame, uint16_t tag, const uint8_t **data, size_t *length) {
    size_t at = 0, size;
    uint16_t found;
    const uint8_t *value;
    bool any = false;
    while (next_field(frame, &at, &found, &value, &size)) {
        if (found != tag) continue;
        *data = value;
        *length = size;
        any = true;
    }
    return any;
}

bool field_u32(const struct frame *frame, uint16_t tag, uint32_t *out) {
    const uint8_t *data;
    size_t length;
    if (!field_bytes(frame, tag, &data, &length) || length != 4) return false;
    *out = get_u32(data);
    return true;
}

bool field_text(const struct frame *frame, uint16_t tag, char *out, size_t size) {
    const uint8_t *data;
    size_t length;
    if (!field_bytes(frame, tag, &data, &length)) return false;
    if (length >= size || memchr(data, 0, length) != NULL) return false;
    memcpy(out, data, length);
    out[length] = 0;
    return true;
}

void reply_begin(struct reply *reply, uint16_t type, uint32_t request) {
    frame_header(reply->bytes, 0, type, request);
    reply->length = SHIM_FRAME_HEADER_BYTES;
}

static void put_field(struct reply *reply, uint16_t tag, const void *data, size_t length) {
    if (reply->length + SHIM_FIELD_HEADER_BYTES + length > sizeof reply->bytes) return;
    uint8_t *at = reply->bytes + reply->length;
    put_u16(at, tag);
    put_u16(at + 2, 0);
    put_u32(at + 4, (uint32_t)length);
    memcpy(at + SHIM_FIELD_HEADER_BYTES, data, length);
    reply->length += SHIM_FIELD_HEADER_BYTES + length;
    put_u32(reply->bytes, (uint32_t)(reply->length - SHIM_FRAME_HEADER_BYTES));
}

void reply_u32(struct reply *reply, uint16_t tag, uint32_t value) {
    uint8_t bytes[4];
    put_u32(bytes, value);
    put_field(reply, tag, bytes, sizeof bytes);
}

void reply_u64(struct reply *reply, uint16_t tag, uint64_t value) {
    uint8_t bytes[8];
    put_u32(bytes, (uint32_t)value);
    put_u32(bytes + 4, (uint32_t)(value >> 32));
    put_field(reply, tag, bytes, sizeof bytes);
}

void reply_text(struct reply *reply, uint16_t tag, const char *text) {
    put_field(reply, tag, text, strlen(text));
}
