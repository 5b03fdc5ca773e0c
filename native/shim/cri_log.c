/* Writing the CRI log. See cri_log.h. */
#define _GNU_SOURCE
#include "cri_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int open_file(const char *path) {
    /* O_NONBLOCK: a FIFO in this place is refused, not waited for. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0640);
    if (fd < 0) return -errno;
    struct stat status;
    int error = fstat(fd, &status) < 0 ? errno : S_ISREG(status.st_mode) ? 0 : EINVAL;
    if (error == 0) return fd;
    close(fd);
    return -error;
}

int cri_log_open(struct cri_log *log) {
    int fd = open_file(log->path);
    if (fd < 0) return -fd;
    log->fd = fd;
    return 0;
}

int cri_log_reopen(struct cri_log *log) {
    if (log->fd < 0) return 0;
    int fd = open_file(log->path);
    if (fd < 0) return -fd;
    if (log->written > 0) {
        /* A stalled write has left a torn line: it is taken back from the old file and goes whole to the new.
         */
        const uint8_t *feed = memrchr(log->buffer, '\n', log->written);
        size_t whole = feed ? (size_t)(feed - log->buffer) + 1 : 0;
        struct stat status;
        if (whole < log->written && fstat(log->fd, &status) == 0 &&
            ftruncate(log->fd, status.st_size - (off_t)(log->written - whole)) == 0)
            log->written = whole;
    }
    close(log->fd);
    log->fd = fd;
    cri_log_flush(log);
    return 0;
}

static char *put_number(char *at, uint64_t value, unsigned digits) {
    for (unsigned i = digits; i > 0; i--, value /= 10)
        at[i - 1] = (char)('0' + value % 10);
    return at + digits;
}

/* RFC 3339 of a second in UTC; the days-to-date arithmetic counts years from March. */
static void put_second(char *at, int64_t second) {
    uint64_t days = (uint64_t)second / 86400, rest = (uint64_t)second % 86400;
    uint64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    uint64_t month = mp < 10 ? mp + 3 : mp - 9;
    at = put_number(at, yoe + era * 400 + (month <= 2), 4);
    *at++ = '-';
    at = put_number(at, month, 2);
    *at++ = '-';
    at = put_number(at, doy - (153 * mp + 2) / 5 + 1, 2);
    *at++ = 'T';
    at = put_number(at, rest / 3600, 2);
    *at++ = ':';
    at = put_number(at, rest / 60 % 60, 2);
    *at++ = ':';
    at = put_number(at, rest % 60, 2);
    *at = '.';
}

/* The time of now in log->text, never before an earlier one. */
static void stamp(struct cri_log *log) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec > log->last_sec || (now.tv_sec == log->last_sec && now.tv_nsec > log->last_nsec)) {
        log->last_sec = now.tv_sec;
        log->last_nsec = now.tv_nsec;
    }
    if (log->text_sec != log->last_sec || log->text[0] == 0) {
        put_second(log->text, log->last_sec);
        log->text_sec = log->last_sec;
    }
    put_number(log->text + 20, (uint64_t)log->last_nsec, 9);
    log->text[29] = 'Z';
}

/* One log line, of the carried bytes and those given. */
static void emit(struct cri_log *log, enum cri_stream stream, char tag, const uint8_t *data, size_t length) {
    if (log->length >= CRI_LOG_FLUSH_BYTES && !log->stalled) cri_log_flush(log);
    uint8_t *at = log->buffer + log->length;
    memcpy(at, log->text, 30);
    memcpy(at + 30, stream == CRI_STDOUT ? " stdout   " : " stderr   ", 10);
    at[38] = (uint8_t)tag;
    at += CRI_LOG_HEADER_BYTES;
    size_t carried = log->carried[stream];
    if (carried > 0) {
        memcpy(at, log->carry[stream], carried);
        at += carried;
        log->carried[stream] = 0;
    }
    memcpy(at, data, length);
    at[length] = '\n';
    log->length = (size_t)(at - log->buffer) + length + 1;
}

void cri_log_append(struct cri_log *log, enum cri_stream stream, const uint8_t *data, size_t length) {
    if (log->fd < 0) return;
    stamp(log);
    const uint8_t *end = data + length;
    while (data < end) {
        size_t left = (size_t)(end - data), room = CRI_LOG_LINE_BYTES - log->carried[stream];
        /* A line feed right after a full line ends that line: it is F, not P and an empty F. */
        const uint8_t *feed = memchr(data, '\n', left > room ? room + 1 : left);
        if (feed != NULL) {
            emit(log, stream, 'F', data, (size_t)(feed - data));
            data = feed + 1;
        } else if (left > room) {
            emit(log, stream, 'P', data, room);
            data += room;
        } else {
            memcpy(log->carry[stream] + log->carried[stream], data, left);
            log->carried[stream] += left;
            data = end;
        }
    }
    if (log->length > log->high_water) log->high_water = log->length;
}

void cri_log_finish(struct cri_log *log, enum cri_stream stream) {
    if (log->fd < 0 || log->carried[stream] == 0) return;
    stamp(log);
    emit(log, stream, 'P', log->carry[stream], 0);
}

bool cri_log_flush(struct cri_log *log) {
    while (log->written < log->length) {
        ssize_t n = write(log->fd, log->buffer + log->written, log->length - log->written);
        if (n > 0) {
            log->written += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            log->stalled = true;
            return false;
        }
    }
    log->length = log->written = 0;
    log->stalled = false;
    return true;
}

void cri_log_trim(struct cri_log *log) {
    if (log->high_water <= 4096 || log->length > 0) return;
    madvise(log->buffer, sizeof log->buffer, MADV_DONTNEED);
    log->high_water = 0;
}
