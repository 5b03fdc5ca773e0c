/*
 * Device rules of a cgroup v2 group: loads the program that TypeScript made (src/oci/cgroup-device-filter.ts)
 * and attaches it to the group's directory. Those of ours that were attached there before are taken off
 * afterwards, so the group is never without one; those of others (systemd has its own) stay, and all of them
 * must agree.
 */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_PROGRAMS 64
#define MAX_LOADS 50
#define PROGRAM_NAME "gantry_device"

static int bpf(int command, union bpf_attr *attr) {
    return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

/* False too where the kernel does not tell. */
static bool is_ours(int program) {
    struct bpf_prog_info details;
    memset(&details, 0, sizeof details);
    union bpf_attr query;
    memset(&query, 0, sizeof query);
    query.info.bpf_fd = (uint32_t)program;
    query.info.info_len = sizeof details;
    query.info.info = (uint64_t)(uintptr_t)&details;
    return bpf(BPF_OBJ_GET_INFO_BY_FD, &query) == 0 &&
           strncmp(details.name, PROGRAM_NAME, sizeof details.name) == 0;
}

/* attachDeviceFilter(directory, program) */
static napi_value attach_device_filter(napi_env env, napi_callback_info info) {
    napi_value args[2];
    uint8_t *program;
    size_t length;
    if (!addon_args(env, info, 2, args) || !addon_bytes(env, args[1], &program, &length)) return NULL;
    __attribute__((cleanup(addon_free_string))) char *path = addon_string(env, args[0]);
    if (path == NULL) return NULL;
    __attribute__((cleanup(addon_close))) int group =
        open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (group < 0) return addon_throw_errno(env, errno, "open", path);

    uint32_t old[MAX_PROGRAMS];
    union bpf_attr query;
    memset(&query, 0, sizeof query);
    query.query.target_fd = (uint32_t)group;
    query.query.attach_type = BPF_CGROUP_DEVICE;
    query.query.prog_ids = (uint64_t)(uintptr_t)old;
    query.query.prog_cnt = MAX_PROGRAMS;
    if (bpf(BPF_PROG_QUERY, &query) != 0) return addon_throw_errno(env, errno, "bpf", path);

    static const char license[] = "Apache-2.0";
    union bpf_attr load;
    memset(&load, 0, sizeof load);
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insns = (uint64_t)(uintptr_t)program;
    load.insn_cnt = (uint32_t)(length / sizeof(struct bpf_insn));
    load.license = (uint64_t)(uintptr_t)license;
    memcpy(load.prog_name, PROGRAM_NAME, sizeof PROGRAM_NAME);
    /* The check of a program gives up when a signal comes, of which an engine under load gets many. */
    __attribute__((cleanup(addon_close))) int fd = -1;
    for (int attempt = 0; attempt < MAX_LOADS; attempt++) {
        fd = bpf(BPF_PROG_LOAD, &load);
        if (fd >= 0 || errno != EAGAIN) break;
    }
    if (fd < 0) return addon_throw_errno(env, errno, "bpf", path);

    union bpf_attr attach;
    memset(&attach, 0, sizeof attach);
    attach.target_fd = (uint32_t)group;
    attach.attach_bpf_fd = (uint32_t)fd;
    attach.attach_type = BPF_CGROUP_DEVICE;
    attach.attach_flags = BPF_F_ALLOW_MULTI;
    if (bpf(BPF_PROG_ATTACH, &attach) != 0) return addon_throw_errno(env, errno, "bpf", path);

    for (uint32_t i = 0; i < query.query.prog_cnt; i++) {
        union bpf_attr by_id;
        memset(&by_id, 0, sizeof by_id);
        by_id.prog_id = old[i];
        __attribute__((cleanup(addon_close))) int previous = bpf(BPF_PROG_GET_FD_BY_ID, &by_id);
        if (previous < 0 || !is_ours(previous)) continue;
        attach.attach_bpf_fd = (uint32_t)previous;
        attach.attach_flags = 0;
        if (bpf(BPF_PROG_DETACH, &attach) != 0) return addon_throw_errno(env, errno, "bpf", path);
    }
    return NULL;
}

void addon_device_filter_register(napi_env env, napi_value exports) {
    static const struct addon_function functions[] = {{"attachDeviceFilter", attach_device_filter}};
    addon_export(env, exports, functions, 1);
}
