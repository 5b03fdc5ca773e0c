/*
 * The container's log in the CRI format: every line is `TIMESTAMP SP stdout|stderr SP F|P SP bytes LF`.
 *
 * Lines above 16 KiB are split: P (partial) for all pieces but the last, which is F (full). Bytes without a
 * final LF at the end of a stream are written as P, so that a reader who joins the pieces has exactly what
 * the process wrote. The bytes are copied as they are.
 *
 * When the file cannot take more (ENOSPC, EDQUOT, EIO, …) nothing is dropped: the log is stalled, the caller
 * stops reading from the container and calls cri_log_flush() again later. The buffer takes what one chunk of
 * input can become at worst.
 */
#ifndef GANTRY_SHIM_CRI_LOG_H
#define GANTRY_SHIM_CRI_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRI_LOG_LINE_BYTES 16384   /* content of one log line at most */
#define CRI_LOG_CHUNK_BYTES 65536  /* input of one append at most */
#define CRI_LOG_FLUSH_BYTES 131072 /* written to the file when this much has gathered */
#define CRI_LOG_HEADER_BYTES 40    /* 30 of timestamp, " stdout F " */
/* A chunk of only line feeds, an unfinished line of either stream, and what gathers before a flush. */
#define CRI_LOG_BUFFER_BYTES                                                                                 \
    (CRI_LOG_CHUNK_BYTES * (CRI_LOG_HEADER_BYTES + 1) + 4 * CRI_LOG_LINE_BYTES + CRI_LOG_FLUSH_BYTES)

enum cri_stream { CRI_STDOUT = 0, CRI_STDERR = 1 };

struct cri_log {
    int fd; /* -1: no log, output is thrown away */
    bool stalled;
    size_t length, written;      /* of buffer; begins at a line's start whenever written is 0 */
    size_t high_water;           /* most that buffer has held since cri_log_trim() */
    int64_t last_sec, last_nsec; /* newest timestamp given out */
    int64_t text_sec;            /* the second that text holds */
    char text[32];               /* "2006-01-02T15:04:05.000000000Z" */
    size_t carried[2];           /* bytes of an unfinished line */
    char path[4096];
    uint8_t carry[2][CRI_LOG_LINE_BYTES];
    uint8_t buffer[CRI_LOG_BUFFER_BYTES] __attribute__((aligned(4096)));
};

/* Opens the path. Returns 0 or an errno. */
int cri_log_open(struct cri_log *log);
/* Opens the path anew and goes on there. On failure (an errno) the old file stays in use. */
int cri_log_reopen(struct cri_log *log);
/* At most CRI_LOG_CHUNK_BYTES; not while stalled. */
void cri_log_append(struct cri_log *log, enum cri_stream stream, const uint8_t *data, size_t length);
/* Writes an unfinished line as P: at the end of a stream. */
void cri_log_finish(struct cri_log *log, enum cri_stream stream);
/* Writes out what is buffered. False, and stalled, when the file took less. */
bool cri_log_flush(struct cri_log *log);
/* Gives pages of a large buffer back to the kernel; for idle moments. */
void cri_log_trim(struct cri_log *log);

#endif
