/*
 * Feeds broken plans and frames to the readers of the native half, built with the sanitizers.
 *
 *   fuzz SEED ROUNDS PLAN…
 *
 * A round changes a few bytes of one of the plans, gives it a header that fits, and runs every operation in it, but with
 * a filter under which no system call of an operation does anything: it fails with EPERM. Then it reads a frame with
 * made-up fields. All bytes of a record or frame are in a block of exactly their size, so that nothing behind them is read unseen. The same
 * seed does the same. Prints how many operations were reached, and how many fields.
 */
#define _GNU_SOURCE
#include "../../../native/executor/context.h"
#include "../../../native/executor/interpret.h"
#include "../../../native/executor/operations.h"
#include "../../../native/shim/frame.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_PLANS 16

static uint64_t state;

static uint32_t draw(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

/* Only what the sanitizers and printing need. */
static void forbid(void) {
    static const int allowed[] = {SYS_read,          SYS_write,        SYS_mmap,    SYS_munmap,     SYS_mprotect,
                                  SYS_madvise,       SYS_brk,          SYS_futex,   SYS_exit_group, SYS_rt_sigaction,
                                  SYS_rt_sigprocmask, SYS_sigaltstack, SYS_getpid,  SYS_gettid,     SYS_tgkill,
                                  SYS_clock_gettime, SYS_mremap};
    enum { COUNT = sizeof(allowed) / sizeof(allowed[0]) };
    struct sock_filter program[COUNT + 3];
    program[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
    for (int i = 0; i < COUNT; i++)
        program[i + 1] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], (unsigned char)(COUNT - i), 0);
    program[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    program[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog filter = {COUNT + 3, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) exit(3);
}

static void change(uint8_t *bytes, size_t length) {
    static const uint32_t telling[] = {0, 1, 7, 8, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff};
    for (uint32_t times = draw(6); times > 0; times--) {
        size_t at = PLAN_HEADER_BYTES + draw((uint32_t)(length - PLAN_HEADER_BYTES));
        uint32_t value = draw(2) == 0 ? telling[draw(8)] : draw(4) == 0 ? draw(0xffffffff) : draw(512);
        if (draw(3) > 0 && at + 4 <= length)
            memcpy(bytes + (at & ~(size_t)3), &value, 4);
        else
            bytes[at] = (uint8_t)value;
    }
}

/* Magic, fingerprint and lengths as they should be; the operations may end early all the same. */
static void fit(uint8_t *bytes, size_t length) {
    struct wire_cursor cursor = {bytes + PLAN_HEADER_BYTES, length - PLAN_HEADER_BYTES};
    struct wire_record record;
    uint32_t header[4] = {PLAN_HEADER_MAGIC, PLAN_FINGERPRINT, (uint32_t)length, 0};
    while (wire_next(&cursor, &record))
        header[3]++;
    memcpy(bytes, header, sizeof(header));
}

static unsigned run_plan(const uint8_t *plan, size_t given) {
    size_t length = draw(8) == 0 ? PLAN_HEADER_BYTES + 8 + draw((uint32_t)given - PLAN_HEADER_BYTES - 8) : given;
    uint8_t *bytes = malloc(length);
    memcpy(bytes, plan, length);
    change(bytes, length);
    if (draw(16) > 0) fit(bytes, length);
    struct plan_error failure = {0};
    struct plan_context context = {.sync = -1, .join = -1, .proc = -1, .root = -1, .gate = -1, .null = -1, .empty = -1,
                                   .directory = -1, .failure = &failure};
    struct wire_cursor operations;
    struct wire_record record;
    unsigned reached = 0;
    if (plan_open(&context, bytes, length, &operations, &record) == 0) {
        while (wire_next(&operations, &record)) {
            /* The one waits for ever, whatever the kernel says, and the other ends the process. */
            if (record.header.code == PLAN_OP_PAUSE || record.header.code == PLAN_OP_END) continue;
            uint8_t *alone = malloc(record.header.length);
            memcpy(alone, record.start, record.header.length);
            record.start = alone;
            if (record.header.code != PLAN_OP_EXEC || op_prepare_exec(&context, &record) == 0)
                interpret_parent(&context, &record);
            free(context.args);
            free(context.env);
            context.args = context.env = NULL;
            free(alone);
            reached++;
        }
    }
    free(context.mounts);
    free(bytes);
    return reached;
}

static unsigned read_frame(void) {
    size_t length = SHIM_FRAME_HEADER_BYTES + draw(200);
    uint8_t *bytes = malloc(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = draw(3) == 0 ? (uint8_t)draw(256) : 0;
    /* Fields, the last of which may be longer than what is left. */
    for (size_t at = SHIM_FRAME_HEADER_BYTES; at + 8 <= length;) {
        uint16_t tag = (uint16_t)draw(16);
        uint32_t size = draw(20) == 0 ? draw(0xffffffff) : draw(3) == 0 ? 4 : draw(40);
        memcpy(bytes + at, &tag, sizeof(tag));
        memcpy(bytes + at + 4, &size, sizeof(size));
        at += 8 + (size_t)size;
    }
    uint32_t payload = (uint32_t)(length - SHIM_FRAME_HEADER_BYTES);
    memcpy(bytes, &payload, sizeof(payload));
    struct buffer buffer = {bytes, length, 0, length};
    struct frame frame;
    unsigned found = 0;
    if (frame_peek(&buffer, &frame)) {
        found += fields_valid(&frame);
        for (uint16_t tag = 0; tag < 16; tag++) {
            uint32_t number;
            const uint8_t *data;
            size_t size;
            char text[32];
            found += field_u32(&frame, tag, &number);
            if (field_bytes(&frame, tag, &data, &size))
                for (size_t i = 0; i < size; i++)
                    found += data[i] == 255;
            found += field_text(&frame, tag, text, sizeof(text));
        }
    }
    free(bytes);
    return found;
}

int main(int argc, char **argv) {
    uint8_t *plans[MAX_PLANS];
    size_t lengths[MAX_PLANS];
    uint32_t count = 0;
    if (argc < 4) return 2;
    state = strtoull(argv[1], NULL, 10) * 2654435761u + 1;
    for (int i = 3; i < argc && count < MAX_PLANS; i++, count++) {
        struct stat status;
        int file = open(argv[i], O_RDONLY);
        if (file < 0 || fstat(file, &status) < 0) return 2;
        lengths[count] = (size_t)status.st_size;
        plans[count] = malloc(lengths[count]);
        if (read(file, plans[count], lengths[count]) != status.st_size) return 2;
    }
    forbid();
    unsigned long operations = 0, fields = 0;
    for (long round = atol(argv[2]); round > 0; round--) {
        uint32_t which = draw(count);
        operations += run_plan(plans[which], lengths[which]);
        fields += read_frame();
    }
    printf("%lu operations, %lu fields\n", operations, fields);
    fflush(stdout);
    _exit(0);
}
