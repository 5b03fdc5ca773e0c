/* Generated from src/oci/plan.ts by scripts/generate-native-headers.ts; do not edit. operations of a plan; see src/oci/plan.ts */
#ifndef GANTRY_PLAN_GENERATED_H
#define GANTRY_PLAN_GENERATED_H

/* clang-format off */
#include <stddef.h>
#include <stdint.h>
#include "wire.h"

#define PLAN_FINGERPRINT 0xd72319deu

#define PLAN_HEADER_MAGIC 0x4e4c5047u
#define PLAN_HEADER_BYTES 0x10u
#define PLAN_HEADER_PARENT_BIT 0x8000u
#define PLAN_HEADER_MAX_OPERATIONS 0x1000u
#define PLAN_HEADER_MAX_BYTES 0x400000u
#define PLAN_LAUNCH_GATE_WAIT 0x1u
#define PLAN_LAUNCH_GATE_FIFO 0x2u
#define PLAN_LAUNCH_TERMINAL 0x4u
#define PLAN_LAUNCH_JOIN_PIDFD 0x8u
#define PLAN_LAUNCH_OLD_KERNEL 0x10u
#define PLAN_MOUNT_PLAIN_TARGET 0x1u
#define PLAN_MOUNT_COPY_UP 0x2u
#define PLAN_BIND_RECURSIVE 0x1u
#define PLAN_BIND_ON_PROCFS 0x2u
#define PLAN_BIND_ID_MAP_RECURSIVE 0x4u
#define PLAN_PIVOT_CHROOT 0x1u
#define PLAN_PIVOT_DETACH_SHARED 0x2u
#define PLAN_DEVICE_BIND 0x1u
#define PLAN_USER_KEEP_CAPABILITIES 0x1u
#define PLAN_TOLERATE_REFUSED 0x1u
#define PLAN_ROOT_CLASSIC 0x1u
#define PLAN_ROOT_DETACHED 0x2u
#define PLAN_ROOT_SLAVE 0x4u
#define PLAN_KEPT_ID_MAPS 0x20u
#define PLAN_KEPT_MOUNTS 0x400u
#define PLAN_ATTRIBUTE_NOSYMFOLLOW 0x200000u

enum plan_code {
    PLAN_OP_LAUNCH = 1,
    PLAN_OP_RENDEZVOUS = 2,
    PLAN_OP_FORK = 4,
    PLAN_OP_GATE = 3,
    PLAN_OP_JOIN_PIDFD = 10,
    PLAN_OP_JOIN_NAMESPACE = 11,
    PLAN_OP_UNSHARE = 12,
    PLAN_OP_TIME_OFFSETS = 13,
    PLAN_OP_BECOME_ROOT = 14,
    PLAN_OP_CGROUP_JOIN = 15,
    PLAN_OP_KEYRING = 16,
    PLAN_OP_CURRENT_ROOT = 17,
    PLAN_OP_PROPAGATION = 20,
    PLAN_OP_PRIVATE_MOUNT = 34,
    PLAN_OP_ROOT_OVERLAY = 21,
    PLAN_OP_ROOT_BIND = 22,
    PLAN_OP_MOUNT = 23,
    PLAN_OP_BIND = 24,
    PLAN_OP_REMOUNT = 25,
    PLAN_OP_MAKE_DIRECTORY = 26,
    PLAN_OP_DEVICE = 27,
    PLAN_OP_SYMLINK = 28,
    PLAN_OP_READONLY_PATH = 29,
    PLAN_OP_MASK_PATH = 30,
    PLAN_OP_PIVOT = 31,
    PLAN_OP_ROOT_ATTRIBUTES = 32,
    PLAN_OP_IMAGE_VOLUME = 33,
    PLAN_OP_ID_MAP = 70,
    PLAN_OP_JOIN_ID_MAP = 71,
    PLAN_OP_MAP_DIRECTORY = 72,
    PLAN_OP_PREPARE_BIND = 73,
    PLAN_OP_ATTACH = 74,
    PLAN_OP_KEEP_SOURCE = 76,
    PLAN_OP_ROOT_ATTACH = 75,
    PLAN_OP_SYSCTL = 40,
    PLAN_OP_HOSTNAME = 41,
    PLAN_OP_DOMAINNAME = 42,
    PLAN_OP_OPEN_FIFO = 43,
    PLAN_OP_HOOK = 44,
    PLAN_OP_CONSOLE = 45,
    PLAN_OP_SESSION = 46,
    PLAN_OP_OWN_STDIO = 47,
    PLAN_OP_RLIMIT = 50,
    PLAN_OP_OOM_SCORE = 51,
    PLAN_OP_PERSONALITY = 52,
    PLAN_OP_MEMORY_POLICY = 53,
    PLAN_OP_IO_PRIORITY = 54,
    PLAN_OP_CPU_AFFINITY = 55,
    PLAN_OP_SECURITY_LABEL = 56,
    PLAN_OP_WORKING_DIRECTORY = 57,
    PLAN_OP_CLOSE_DESCRIPTORS = 58,
    PLAN_OP_NO_NEW_PRIVILEGES = 59,
    PLAN_OP_BOUNDING_SET = 60,
    PLAN_OP_USER = 61,
    PLAN_OP_CAPABILITIES = 62,
    PLAN_OP_SECCOMP = 63,
    PLAN_OP_SECCOMP_LISTEN = 67,
    PLAN_OP_CHECK_COMMAND = 64,
    PLAN_OP_EXEC = 65,
    PLAN_OP_PAUSE = 66,
    PLAN_OP_END = 68,
    PLAN_OP_RUNTIME_COMMAND = 80,
    PLAN_OP_ADOPT = 81,
    PLAN_OP_RELEASE = 32769,
    PLAN_OP_PARENT_ID_MAP = 32770,
    PLAN_OP_PARENT_RLIMIT = 32771,
    PLAN_OP_PARENT_OOM_SCORE = 32772,
    PLAN_OP_PARENT_HOOK = 32773,
    PLAN_OP_PARENT_SCHEDULER = 32774,
    PLAN_OP_PARENT_LISTENER = 32775,
    PLAN_OP_PARENT_NET_DEVICE = 32776,
};

/* how to clone the process; always the first operation */
struct plan_launch {
    struct wire_header header;
    uint64_t clone_flags; /* CLONE_NEW* to create */
    uint32_t flags; /* LAUNCH_* */
    struct wire_span cgroup_directory; /* v2 directory for CLONE_INTO_CGROUP; empty for none */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_launch, clone_flags) == 8, "launch");
_Static_assert(offsetof(struct plan_launch, flags) == 16, "launch");
_Static_assert(offsetof(struct plan_launch, cgroup_directory) == 20, "launch");
_Static_assert(sizeof(struct plan_launch) == 32, "launch");

/* the process waits for RELEASE */
struct plan_rendezvous {
    struct wire_header header;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct plan_rendezvous) == 8, "rendezvous");

/* go on as a new child of the same parent, for a PID namespace that was joined */
struct plan_fork {
    struct wire_header header;
    uint64_t clone_flags; /* CLONE_NEW* to create */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_fork, clone_flags) == 8, "fork");
_Static_assert(sizeof(struct plan_fork) == 16, "fork");

/* report readiness and wait for the start */
struct plan_gate {
    struct wire_header header;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct plan_gate) == 8, "gate");

/* setns(2) on the pidfd given at the launch */
struct plan_join_pidfd {
    struct wire_header header;
    uint32_t flags; /* CLONE_NEW* */
    uint32_t root; /* 1: chroot to the root of the pidfd's process */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_join_pidfd, flags) == 8, "joinPidfd");
_Static_assert(offsetof(struct plan_join_pidfd, root) == 12, "joinPidfd");
_Static_assert(sizeof(struct plan_join_pidfd) == 16, "joinPidfd");

/* setns(2) on a namespace file */
struct plan_join_namespace {
    struct wire_header header;
    uint32_t type; /* CLONE_NEW*, checked by the kernel */
    struct wire_span path; /* host path */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_join_namespace, type) == 8, "joinNamespace");
_Static_assert(offsetof(struct plan_join_namespace, path) == 12, "joinNamespace");
_Static_assert(sizeof(struct plan_join_namespace) == 24, "joinNamespace");

/* unshare(2) */
struct plan_unshare {
    struct wire_header header;
    uint64_t flags; /* CLONE_NEW* */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_unshare, flags) == 8, "unshare");
_Static_assert(sizeof(struct plan_unshare) == 16, "unshare");

/* enter a new time namespace with these offsets */
struct plan_time_offsets {
    struct wire_header header;
    struct wire_span text; /* lines for /proc/self/timens_offsets */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_time_offsets, text) == 8, "timeOffsets");
_Static_assert(sizeof(struct plan_time_offsets) == 16, "timeOffsets");

/* uid and gid 0 of the user namespace */
struct plan_become_root {
    struct wire_header header;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct plan_become_root) == 8, "becomeRoot");

/* move the process itself into v1 cgroups */
struct plan_cgroup_join {
    struct wire_header header;
    struct wire_list files; /* the tasks files, host paths */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_cgroup_join, files) == 8, "cgroupJoin");
_Static_assert(sizeof(struct plan_cgroup_join) == 24, "cgroupJoin");

/* new session keyring */
struct plan_keyring {
    struct wire_header header;
    struct wire_span name; /* its name */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_keyring, name) == 8, "keyring");
_Static_assert(sizeof(struct plan_keyring) == 16, "keyring");

/* paths in the root are those of the process's own root directory from here on */
struct plan_current_root {
    struct wire_header header;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct plan_current_root) == 8, "currentRoot");

/* propagation of a mount, by mount(2) */
struct plan_propagation {
    struct wire_header header;
    uint64_t flags; /* MS_* */
    struct wire_span target; /* path */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_propagation, flags) == 8, "propagation");
_Static_assert(offsetof(struct plan_propagation, target) == 16, "propagation");
_Static_assert(sizeof(struct plan_propagation) == 24, "propagation");

/* make the mount that a host directory is on private */
struct plan_private_mount {
    struct wire_header header;
    struct wire_span path; /* the directory */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_private_mount, path) == 8, "privateMount");
_Static_assert(sizeof(struct plan_private_mount) == 16, "privateMount");

/* mount an overlay as the root filesystem */
struct plan_root_overlay {
    struct wire_header header;
    struct wire_list lower; /* directories from the topmost to the lowest */
    struct wire_span upper; /* empty for a read-only mount */
    struct wire_span work; /* empty for a read-only mount */
    struct wire_list options; /* key=value or key, for fsconfig(2) */
    struct wire_span target; /* host directory to mount on; empty: over the old root */
    uint32_t flags; /* ROOT_CLASSIC: mount(2) from the start; ROOT_DETACHED: mounted later, by ROOT_ATTACH */
    uint32_t uid; /* the kernel makes the work directory for this user, whom id-mapped layers must know */
    uint32_t gid; /* and for this group */
    struct wire_span classic_base; /* directory that the paths in classicData are relative to; empty: none possible */
    struct wire_span classic_data; /* options for mount(2), for kernels without lowerdir+ */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_root_overlay, lower) == 8, "rootOverlay");
_Static_assert(offsetof(struct plan_root_overlay, upper) == 20, "rootOverlay");
_Static_assert(offsetof(struct plan_root_overlay, work) == 28, "rootOverlay");
_Static_assert(offsetof(struct plan_root_overlay, options) == 36, "rootOverlay");
_Static_assert(offsetof(struct plan_root_overlay, target) == 48, "rootOverlay");
_Static_assert(offsetof(struct plan_root_overlay, flags) == 56, "rootOverlay");
_Static_assert(offsetof(struct plan_root_overlay, uid) == 60, "rootOverlay");
_Static_assert(offsetof(struct plan_root_overlay, gid) == 64, "rootOverlay");
_Static_assert(offsetof(struct plan_root_overlay, classic_base) == 68, "rootOverlay");
_Static_assert(offsetof(struct plan_root_overlay, classic_data) == 76, "rootOverlay");
_Static_assert(sizeof(struct plan_root_overlay) == 88, "rootOverlay");

/* bind a directory as the root filesystem */
struct plan_root_bind {
    struct wire_header header;
    uint32_t flags; /* ROOT_DETACHED: mounted later, by ROOT_ATTACH; ROOT_SLAVE: the host's mounts below it appear in it */
    uint32_t id_map; /* 1: the first one kept, and so on; 0: none */
    struct wire_span source; /* host path */
    struct wire_span target; /* host directory; empty: over the old root */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_root_bind, flags) == 8, "rootBind");
_Static_assert(offsetof(struct plan_root_bind, id_map) == 12, "rootBind");
_Static_assert(offsetof(struct plan_root_bind, source) == 16, "rootBind");
_Static_assert(offsetof(struct plan_root_bind, target) == 24, "rootBind");
_Static_assert(sizeof(struct plan_root_bind) == 32, "rootBind");

/* mount a filesystem on a path in the root */
struct plan_mount {
    struct wire_header header;
    uint64_t attributes; /* MOUNT_ATTR_* */
    uint64_t propagation; /* MS_*, 0: private */
    uint32_t flags; /* MOUNT_* */
    struct wire_span type; /* filesystem type */
    struct wire_span source; /* empty for none */
    struct wire_span target; /* path in the root */
    struct wire_list parameters; /* key=value or key, for fsconfig(2) */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_mount, attributes) == 8, "mount");
_Static_assert(offsetof(struct plan_mount, propagation) == 16, "mount");
_Static_assert(offsetof(struct plan_mount, flags) == 24, "mount");
_Static_assert(offsetof(struct plan_mount, type) == 28, "mount");
_Static_assert(offsetof(struct plan_mount, source) == 36, "mount");
_Static_assert(offsetof(struct plan_mount, target) == 44, "mount");
_Static_assert(offsetof(struct plan_mount, parameters) == 52, "mount");
_Static_assert(sizeof(struct plan_mount) == 64, "mount");

/* bind a host path on a path in the root */
struct plan_bind {
    struct wire_header header;
    uint64_t set; /* MOUNT_ATTR_* to set on the mount */
    uint64_t clear; /* MOUNT_ATTR_* to clear on the mount */
    uint64_t recursive_set; /* MOUNT_ATTR_* to set on it and all below */
    uint64_t recursive_clear; /* MOUNT_ATTR_* to clear on it and all below */
    uint64_t propagation; /* MS_*; 0: leave it */
    uint32_t flags; /* BIND_* */
    uint32_t number; /* KEEP_SOURCE has cloned it under; 0: it is cloned now */
    struct wire_span source; /* host path without symbolic links */
    struct wire_span target; /* path in the root */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_bind, set) == 8, "bind");
_Static_assert(offsetof(struct plan_bind, clear) == 16, "bind");
_Static_assert(offsetof(struct plan_bind, recursive_set) == 24, "bind");
_Static_assert(offsetof(struct plan_bind, recursive_clear) == 32, "bind");
_Static_assert(offsetof(struct plan_bind, propagation) == 40, "bind");
_Static_assert(offsetof(struct plan_bind, flags) == 48, "bind");
_Static_assert(offsetof(struct plan_bind, number) == 52, "bind");
_Static_assert(offsetof(struct plan_bind, source) == 56, "bind");
_Static_assert(offsetof(struct plan_bind, target) == 64, "bind");
_Static_assert(sizeof(struct plan_bind) == 72, "bind");

/* change a mount in the root, and the filesystem on it */
struct plan_remount {
    struct wire_header header;
    uint64_t set; /* MOUNT_ATTR_* */
    uint64_t clear; /* MOUNT_ATTR_* */
    uint64_t recursive_set; /* MOUNT_ATTR_* to set on it and all below */
    uint64_t recursive_clear; /* MOUNT_ATTR_* to clear on it and all below */
    uint64_t propagation; /* MS_*; 0: leave it */
    struct wire_span target; /* path in the root */
    struct wire_list parameters; /* of the filesystem: key=value or key, for fsconfig(2) */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_remount, set) == 8, "remount");
_Static_assert(offsetof(struct plan_remount, clear) == 16, "remount");
_Static_assert(offsetof(struct plan_remount, recursive_set) == 24, "remount");
_Static_assert(offsetof(struct plan_remount, recursive_clear) == 32, "remount");
_Static_assert(offsetof(struct plan_remount, propagation) == 40, "remount");
_Static_assert(offsetof(struct plan_remount, target) == 48, "remount");
_Static_assert(offsetof(struct plan_remount, parameters) == 56, "remount");
_Static_assert(sizeof(struct plan_remount) == 72, "remount");

/* make a directory in the root, with those above it, where it is missing */
struct plan_make_directory {
    struct wire_header header;
    struct wire_span path; /* path in the root */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_make_directory, path) == 8, "makeDirectory");
_Static_assert(sizeof(struct plan_make_directory) == 16, "makeDirectory");

/* make a device node in the root */
struct plan_device {
    struct wire_header header;
    uint32_t mode; /* file type and permissions */
    uint32_t major;
    uint32_t minor;
    uint32_t uid;
    uint32_t gid;
    uint32_t flags; /* DEVICE_BIND: bind the host's node of the same path instead */
    struct wire_span directory; /* path in the root */
    struct wire_span name; /* name in the directory */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_device, mode) == 8, "device");
_Static_assert(offsetof(struct plan_device, major) == 12, "device");
_Static_assert(offsetof(struct plan_device, minor) == 16, "device");
_Static_assert(offsetof(struct plan_device, uid) == 20, "device");
_Static_assert(offsetof(struct plan_device, gid) == 24, "device");
_Static_assert(offsetof(struct plan_device, flags) == 28, "device");
_Static_assert(offsetof(struct plan_device, directory) == 32, "device");
_Static_assert(offsetof(struct plan_device, name) == 40, "device");
_Static_assert(sizeof(struct plan_device) == 48, "device");

/* make a symbolic link in the root; an existing file is left alone */
struct plan_symlink {
    struct wire_header header;
    struct wire_span directory; /* path in the root */
    struct wire_span name;
    struct wire_span target; /* its text */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_symlink, directory) == 8, "symlink");
_Static_assert(offsetof(struct plan_symlink, name) == 16, "symlink");
_Static_assert(offsetof(struct plan_symlink, target) == 24, "symlink");
_Static_assert(sizeof(struct plan_symlink) == 32, "symlink");

/* make a path in the root read-only; a missing one is ignored */
struct plan_readonly_path {
    struct wire_header header;
    struct wire_span path; /* path in the root */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_readonly_path, path) == 8, "readonlyPath");
_Static_assert(sizeof(struct plan_readonly_path) == 16, "readonlyPath");

/* hide a path in the root; a missing one is ignored */
struct plan_mask_path {
    struct wire_header header;
    struct wire_span path; /* path in the root */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_mask_path, path) == 8, "maskPath");
_Static_assert(sizeof(struct plan_mask_path) == 16, "maskPath");

/* make the root filesystem the root directory */
struct plan_pivot {
    struct wire_header header;
    uint32_t flags; /* PIVOT_* */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_pivot, flags) == 8, "pivot");
_Static_assert(sizeof(struct plan_pivot) == 16, "pivot");

/* attributes and propagation of the root mount, after the pivot */
struct plan_root_attributes {
    struct wire_header header;
    uint64_t set; /* MOUNT_ATTR_* */
    uint64_t propagation; /* MS_*; 0: leave it */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_root_attributes, set) == 8, "rootAttributes");
_Static_assert(offsetof(struct plan_root_attributes, propagation) == 16, "rootAttributes");
_Static_assert(sizeof(struct plan_root_attributes) == 24, "rootAttributes");

/* mount what an image holds, or a part of it, on a path in the root */
struct plan_image_volume {
    struct wire_header header;
    uint64_t set; /* MOUNT_ATTR_* to set on the mount */
    uint64_t clear; /* MOUNT_ATTR_* to clear on the mount */
    uint32_t flags; /* ROOT_CLASSIC: mount(2) from the start */
    uint32_t id_map; /* of the mount, for a source that is no overlay; 1: the first one kept; 0: none */
    uint32_t number; /* keep it for ATTACH under this number; 0: mount it on its target */
    struct wire_list lower; /* directories from the topmost to the lowest */
    struct wire_list options; /* of the overlay: key=value or key, for fsconfig(2) */
    struct wire_span classic_base; /* directory that the paths in classicData are relative to; empty: none possible */
    struct wire_span classic_data; /* options for mount(2), for kernels without lowerdir+ */
    struct wire_span source; /* host directory that holds all of the image, instead of the overlay; or empty */
    struct wire_span path; /* in the image, links followed in it; empty for the whole */
    struct wire_span target; /* path in the root */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_image_volume, set) == 8, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, clear) == 16, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, flags) == 24, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, id_map) == 28, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, number) == 32, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, lower) == 36, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, options) == 48, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, classic_base) == 60, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, classic_data) == 68, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, source) == 76, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, path) == 84, "imageVolume");
_Static_assert(offsetof(struct plan_image_volume, target) == 92, "imageVolume");
_Static_assert(sizeof(struct plan_image_volume) == 104, "imageVolume");

/* keep a user namespace as an id map for later operations */
struct plan_id_map {
    struct wire_header header;
    struct wire_span path; /* namespace file; empty: make one */
    struct wire_span uids; /* lines of uid_map, for a new one */
    struct wire_span gids; /* lines of gid_map */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_id_map, path) == 8, "idMap");
_Static_assert(offsetof(struct plan_id_map, uids) == 16, "idMap");
_Static_assert(offsetof(struct plan_id_map, gids) == 24, "idMap");
_Static_assert(sizeof(struct plan_id_map) == 32, "idMap");

/* setns(2) on a user namespace that is kept */
struct plan_join_id_map {
    struct wire_header header;
    uint32_t id_map; /* its number, from 1 */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_join_id_map, id_map) == 8, "joinIdMap");
_Static_assert(sizeof(struct plan_join_id_map) == 16, "joinIdMap");

/* lay an id-mapped mount of a directory over itself, in the process's own mount namespace */
struct plan_map_directory {
    struct wire_header header;
    uint32_t id_map; /* its number, from 1 */
    struct wire_span path; /* host path */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_map_directory, id_map) == 8, "mapDirectory");
_Static_assert(offsetof(struct plan_map_directory, path) == 12, "mapDirectory");
_Static_assert(sizeof(struct plan_map_directory) == 24, "mapDirectory");

/* make a bind mount of a host path with its attributes, and keep it for ATTACH */
struct plan_prepare_bind {
    struct wire_header header;
    uint32_t number; /* to keep it under, from 1 */
    uint64_t set; /* MOUNT_ATTR_* to set on the mount */
    uint64_t clear; /* MOUNT_ATTR_* to clear on the mount */
    uint64_t recursive_set; /* MOUNT_ATTR_* to set on it and all below */
    uint64_t recursive_clear; /* MOUNT_ATTR_* to clear on it and all below */
    uint64_t propagation; /* MS_*; 0: leave it */
    uint32_t flags; /* BIND_* */
    uint32_t id_map; /* 1: the first one kept, and so on; 0: none */
    struct wire_span source; /* host path without symbolic links */
    struct wire_span target; /* path in the root, for messages */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_prepare_bind, number) == 8, "prepareBind");
_Static_assert(offsetof(struct plan_prepare_bind, set) == 16, "prepareBind");
_Static_assert(offsetof(struct plan_prepare_bind, clear) == 24, "prepareBind");
_Static_assert(offsetof(struct plan_prepare_bind, recursive_set) == 32, "prepareBind");
_Static_assert(offsetof(struct plan_prepare_bind, recursive_clear) == 40, "prepareBind");
_Static_assert(offsetof(struct plan_prepare_bind, propagation) == 48, "prepareBind");
_Static_assert(offsetof(struct plan_prepare_bind, flags) == 56, "prepareBind");
_Static_assert(offsetof(struct plan_prepare_bind, id_map) == 60, "prepareBind");
_Static_assert(offsetof(struct plan_prepare_bind, source) == 64, "prepareBind");
_Static_assert(offsetof(struct plan_prepare_bind, target) == 72, "prepareBind");
_Static_assert(sizeof(struct plan_prepare_bind) == 80, "prepareBind");

/* put a mount that is kept on a path in the root */
struct plan_attach {
    struct wire_header header;
    uint32_t number; /* it is kept under */
    uint32_t flags; /* BIND_ON_PROCFS */
    struct wire_span target; /* path in the root */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_attach, number) == 8, "attach");
_Static_assert(offsetof(struct plan_attach, flags) == 12, "attach");
_Static_assert(offsetof(struct plan_attach, target) == 16, "attach");
_Static_assert(sizeof(struct plan_attach) == 24, "attach");

/* clone what is on a host path for BIND, while it still gets and gives mounts as the host's does */
struct plan_keep_source {
    struct wire_header header;
    uint32_t number; /* to keep it under, from 1 */
    uint32_t flags; /* BIND_* */
    struct wire_span source; /* host path without symbolic links */
    struct wire_span target; /* path in the root, for messages */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_keep_source, number) == 8, "keepSource");
_Static_assert(offsetof(struct plan_keep_source, flags) == 12, "keepSource");
_Static_assert(offsetof(struct plan_keep_source, source) == 16, "keepSource");
_Static_assert(offsetof(struct plan_keep_source, target) == 24, "keepSource");
_Static_assert(sizeof(struct plan_keep_source) == 32, "keepSource");

/* put the detached root filesystem in its place */
struct plan_root_attach {
    struct wire_header header;
    struct wire_span target; /* host directory; empty: over the old root */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_root_attach, target) == 8, "rootAttach");
_Static_assert(sizeof(struct plan_root_attach) == 16, "rootAttach");

/* write a kernel parameter */
struct plan_sysctl {
    struct wire_header header;
    struct wire_span path; /* relative to /proc/sys */
    struct wire_span value;
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_sysctl, path) == 8, "sysctl");
_Static_assert(offsetof(struct plan_sysctl, value) == 16, "sysctl");
_Static_assert(sizeof(struct plan_sysctl) == 24, "sysctl");

/* sethostname(2) */
struct plan_hostname {
    struct wire_header header;
    struct wire_span name;
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_hostname, name) == 8, "hostname");
_Static_assert(sizeof(struct plan_hostname) == 16, "hostname");

/* setdomainname(2) */
struct plan_domainname {
    struct wire_header header;
    struct wire_span name;
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_domainname, name) == 8, "domainname");
_Static_assert(sizeof(struct plan_domainname) == 16, "domainname");

/* open the start gate's fifo */
struct plan_open_fifo {
    struct wire_header header;
    struct wire_span path; /* host path */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_open_fifo, path) == 8, "openFifo");
_Static_assert(sizeof(struct plan_open_fifo) == 16, "openFifo");

/* run a hook in the process's namespaces, as its child */
struct plan_hook {
    struct wire_header header;
    uint32_t timeout_ms; /* 0: none */
    struct wire_span path; /* program */
    struct wire_list args;
    struct wire_list env;
    struct wire_span directory; /* to run in, where it can be entered; empty: where the process is */
    struct wire_span state_prefix; /* state for its standard input, up to the pid */
    struct wire_span state_suffix; /* and after it */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_hook, timeout_ms) == 8, "hook");
_Static_assert(offsetof(struct plan_hook, path) == 12, "hook");
_Static_assert(offsetof(struct plan_hook, args) == 20, "hook");
_Static_assert(offsetof(struct plan_hook, env) == 32, "hook");
_Static_assert(offsetof(struct plan_hook, directory) == 44, "hook");
_Static_assert(offsetof(struct plan_hook, state_prefix) == 52, "hook");
_Static_assert(offsetof(struct plan_hook, state_suffix) == 60, "hook");
_Static_assert(sizeof(struct plan_hook) == 72, "hook");

/* make a pty in the root's devpts; its master goes to the launcher, its slave becomes 0, 1 and 2 */
struct plan_console {
    struct wire_header header;
    uint32_t width; /* columns, 0: leave it */
    uint32_t height; /* rows */
    uint32_t dev_console; /* 1: bind the slave on /dev/console */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_console, width) == 8, "console");
_Static_assert(offsetof(struct plan_console, height) == 12, "console");
_Static_assert(offsetof(struct plan_console, dev_console) == 16, "console");
_Static_assert(sizeof(struct plan_console) == 24, "console");

/* setsid(2), with the terminal as the controlling one */
struct plan_session {
    struct wire_header header;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct plan_session) == 8, "session");

/* give pipes and terminals on 0, 1 and 2 to a user */
struct plan_own_stdio {
    struct wire_header header;
    uint32_t uid;
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_own_stdio, uid) == 8, "ownStdio");
_Static_assert(sizeof(struct plan_own_stdio) == 16, "ownStdio");

/* prlimit(2) */
struct plan_rlimit {
    struct wire_header header;
    uint64_t soft;
    uint64_t hard;
    uint32_t resource; /* RLIMIT_* */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_rlimit, soft) == 8, "rlimit");
_Static_assert(offsetof(struct plan_rlimit, hard) == 16, "rlimit");
_Static_assert(offsetof(struct plan_rlimit, resource) == 24, "rlimit");
_Static_assert(sizeof(struct plan_rlimit) == 32, "rlimit");

/* oom_score_adj */
struct plan_oom_score {
    struct wire_header header;
    int32_t value;
    uint32_t flags; /* TOLERATE_REFUSED: go on when it may not be lowered */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_oom_score, value) == 8, "oomScore");
_Static_assert(offsetof(struct plan_oom_score, flags) == 12, "oomScore");
_Static_assert(sizeof(struct plan_oom_score) == 16, "oomScore");

/* personality(2) */
struct plan_personality {
    struct wire_header header;
    uint64_t persona;
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_personality, persona) == 8, "personality");
_Static_assert(sizeof(struct plan_personality) == 16, "personality");

/* set_mempolicy(2) */
struct plan_memory_policy {
    struct wire_header header;
    uint32_t mode; /* MPOL_* with MPOL_F_* */
    struct wire_span nodes; /* bit n is node n; empty: none */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_memory_policy, mode) == 8, "memoryPolicy");
_Static_assert(offsetof(struct plan_memory_policy, nodes) == 12, "memoryPolicy");
_Static_assert(sizeof(struct plan_memory_policy) == 24, "memoryPolicy");

/* ioprio_set(2) */
struct plan_io_priority {
    struct wire_header header;
    uint32_t priority; /* class << 13 | level */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_io_priority, priority) == 8, "ioPriority");
_Static_assert(sizeof(struct plan_io_priority) == 16, "ioPriority");

/* sched_setaffinity(2) */
struct plan_cpu_affinity {
    struct wire_header header;
    struct wire_span mask; /* bit n is processor n */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_cpu_affinity, mask) == 8, "cpuAffinity");
_Static_assert(sizeof(struct plan_cpu_affinity) == 16, "cpuAffinity");

/* label of the program to execute */
struct plan_security_label {
    struct wire_header header;
    struct wire_span attribute; /* below /proc/thread-self/attr */
    struct wire_span label;
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_security_label, attribute) == 8, "securityLabel");
_Static_assert(offsetof(struct plan_security_label, label) == 16, "securityLabel");
_Static_assert(sizeof(struct plan_security_label) == 24, "securityLabel");

/* chdir(2), in the root; nothing when it has been done */
struct plan_working_directory {
    struct wire_header header;
    struct wire_span path;
    uint32_t flags; /* TOLERATE_REFUSED: leave it to a second attempt */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_working_directory, path) == 8, "workingDirectory");
_Static_assert(offsetof(struct plan_working_directory, flags) == 16, "workingDirectory");
_Static_assert(sizeof(struct plan_working_directory) == 24, "workingDirectory");

/* close all that the command must not have */
struct plan_close_descriptors {
    struct wire_header header;
    uint32_t preserve; /* keep 3 … 3+n-1 */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_close_descriptors, preserve) == 8, "closeDescriptors");
_Static_assert(sizeof(struct plan_close_descriptors) == 16, "closeDescriptors");

/* PR_SET_NO_NEW_PRIVS */
struct plan_no_new_privileges {
    struct wire_header header;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct plan_no_new_privileges) == 8, "noNewPrivileges");

/* drop all other capabilities for ever */
struct plan_bounding_set {
    struct wire_header header;
    uint64_t mask; /* kept */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_bounding_set, mask) == 8, "boundingSet");
_Static_assert(sizeof(struct plan_bounding_set) == 16, "boundingSet");

/* groups, gid, uid, umask */
struct plan_user {
    struct wire_header header;
    uint32_t uid;
    uint32_t gid;
    uint32_t umask;
    uint32_t flags; /* USER_KEEP_CAPABILITIES: the permitted set survives a uid other than 0 */
    struct wire_span groups; /* u32 array */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_user, uid) == 8, "user");
_Static_assert(offsetof(struct plan_user, gid) == 12, "user");
_Static_assert(offsetof(struct plan_user, umask) == 16, "user");
_Static_assert(offsetof(struct plan_user, flags) == 20, "user");
_Static_assert(offsetof(struct plan_user, groups) == 24, "user");
_Static_assert(sizeof(struct plan_user) == 32, "user");

/* the four sets, exactly */
struct plan_capabilities {
    struct wire_header header;
    uint64_t effective;
    uint64_t permitted;
    uint64_t inheritable;
    uint64_t ambient;
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_capabilities, effective) == 8, "capabilities");
_Static_assert(offsetof(struct plan_capabilities, permitted) == 16, "capabilities");
_Static_assert(offsetof(struct plan_capabilities, inheritable) == 24, "capabilities");
_Static_assert(offsetof(struct plan_capabilities, ambient) == 32, "capabilities");
_Static_assert(sizeof(struct plan_capabilities) == 40, "capabilities");

/* seccomp(2) */
struct plan_seccomp {
    struct wire_header header;
    uint32_t flags; /* SECCOMP_FILTER_FLAG_* */
    struct wire_span program; /* array of struct sock_filter */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_seccomp, flags) == 8, "seccomp");
_Static_assert(offsetof(struct plan_seccomp, program) == 12, "seccomp");
_Static_assert(sizeof(struct plan_seccomp) == 24, "seccomp");

/* seccomp(2) with a listener, whose descriptor goes to the launcher; returns when that says RELEASE */
struct plan_seccomp_listen {
    struct wire_header header;
    uint32_t flags; /* SECCOMP_FILTER_FLAG_* */
    struct wire_span program; /* array of struct sock_filter */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_seccomp_listen, flags) == 8, "seccompListen");
_Static_assert(offsetof(struct plan_seccomp_listen, program) == 12, "seccompListen");
_Static_assert(sizeof(struct plan_seccomp_listen) == 24, "seccompListen");

/* fail unless one of the candidates is an executable file */
struct plan_check_command {
    struct wire_header header;
    struct wire_list candidates; /* paths */
    struct wire_span name; /* as it was asked for */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_check_command, candidates) == 8, "checkCommand");
_Static_assert(offsetof(struct plan_check_command, name) == 20, "checkCommand");
_Static_assert(sizeof(struct plan_check_command) == 32, "checkCommand");

/* execve(2) the first candidate that exists */
struct plan_exec {
    struct wire_header header;
    struct wire_list candidates; /* paths */
    struct wire_span name; /* as it was asked for */
    struct wire_list args;
    struct wire_list env;
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_exec, candidates) == 8, "exec");
_Static_assert(offsetof(struct plan_exec, name) == 20, "exec");
_Static_assert(offsetof(struct plan_exec, args) == 28, "exec");
_Static_assert(offsetof(struct plan_exec, env) == 40, "exec");
_Static_assert(sizeof(struct plan_exec) == 56, "exec");

/* reap children until SIGTERM or SIGINT */
struct plan_pause {
    struct wire_header header;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct plan_pause) == 8, "pause");

/* exit with status 0, as there is no command */
struct plan_end {
    struct wire_header header;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct plan_end) == 8, "end");

/* run a command of an external runtime to its end, with the process's own standard streams */
struct plan_runtime_command {
    struct wire_header header;
    uint32_t timeout_ms; /* then it is killed, with all that it has made; 0: none */
    struct wire_span name; /* for messages: "crun create" */
    struct wire_span path; /* program */
    struct wire_list args;
    struct wire_list env;
    struct wire_span directory; /* its working directory */
    struct wire_span console; /* name of a socket in that directory, on which it hands over the terminal; empty: the process has none */
    struct wire_span log; /* host file that gets what a failing command has left on its standard error */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_runtime_command, timeout_ms) == 8, "runtimeCommand");
_Static_assert(offsetof(struct plan_runtime_command, name) == 12, "runtimeCommand");
_Static_assert(offsetof(struct plan_runtime_command, path) == 20, "runtimeCommand");
_Static_assert(offsetof(struct plan_runtime_command, args) == 28, "runtimeCommand");
_Static_assert(offsetof(struct plan_runtime_command, env) == 40, "runtimeCommand");
_Static_assert(offsetof(struct plan_runtime_command, directory) == 52, "runtimeCommand");
_Static_assert(offsetof(struct plan_runtime_command, console) == 60, "runtimeCommand");
_Static_assert(offsetof(struct plan_runtime_command, log) == 68, "runtimeCommand");
_Static_assert(sizeof(struct plan_runtime_command) == 80, "runtimeCommand");

/* a process that the external runtime has made goes on in place of this one; the last operation */
struct plan_adopt {
    struct wire_header header;
    struct wire_span pid_file; /* host file with its pid */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_adopt, pid_file) == 8, "adopt");
_Static_assert(sizeof(struct plan_adopt) == 16, "adopt");

/* lets the process go on from its RENDEZVOUS */
struct plan_release {
    struct wire_header header;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct plan_release) == 8, "release");

/* write /proc/PID/uid_map and gid_map */
struct plan_parent_id_map {
    struct wire_header header;
    struct wire_span uids; /* lines */
    struct wire_span gids; /* lines */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_parent_id_map, uids) == 8, "parentIdMap");
_Static_assert(offsetof(struct plan_parent_id_map, gids) == 16, "parentIdMap");
_Static_assert(sizeof(struct plan_parent_id_map) == 24, "parentIdMap");

/* prlimit(2) on the process */
struct plan_parent_rlimit {
    struct wire_header header;
    uint64_t soft;
    uint64_t hard;
    uint32_t resource; /* RLIMIT_* */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_parent_rlimit, soft) == 8, "parentRlimit");
_Static_assert(offsetof(struct plan_parent_rlimit, hard) == 16, "parentRlimit");
_Static_assert(offsetof(struct plan_parent_rlimit, resource) == 24, "parentRlimit");
_Static_assert(sizeof(struct plan_parent_rlimit) == 32, "parentRlimit");

/* oom_score_adj of the process */
struct plan_parent_oom_score {
    struct wire_header header;
    int32_t value;
    uint32_t flags; /* TOLERATE_REFUSED */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_parent_oom_score, value) == 8, "parentOomScore");
_Static_assert(offsetof(struct plan_parent_oom_score, flags) == 12, "parentOomScore");
_Static_assert(sizeof(struct plan_parent_oom_score) == 16, "parentOomScore");

/* run a hook in the launcher's namespaces */
struct plan_parent_hook {
    struct wire_header header;
    uint32_t timeout_ms; /* 0: none */
    struct wire_span path; /* program */
    struct wire_list args;
    struct wire_list env;
    struct wire_span directory; /* to run in, where it can be entered; empty: where the process is */
    struct wire_span state_prefix; /* state for its standard input, up to the pid */
    struct wire_span state_suffix; /* and after it */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_parent_hook, timeout_ms) == 8, "parentHook");
_Static_assert(offsetof(struct plan_parent_hook, path) == 12, "parentHook");
_Static_assert(offsetof(struct plan_parent_hook, args) == 20, "parentHook");
_Static_assert(offsetof(struct plan_parent_hook, env) == 32, "parentHook");
_Static_assert(offsetof(struct plan_parent_hook, directory) == 44, "parentHook");
_Static_assert(offsetof(struct plan_parent_hook, state_prefix) == 52, "parentHook");
_Static_assert(offsetof(struct plan_parent_hook, state_suffix) == 60, "parentHook");
_Static_assert(sizeof(struct plan_parent_hook) == 72, "parentHook");

/* sched_setattr(2) on the process */
struct plan_parent_scheduler {
    struct wire_header header;
    uint64_t flags; /* SCHED_FLAG_* */
    uint64_t runtime; /* ns */
    uint64_t deadline; /* ns */
    uint64_t period; /* ns */
    uint32_t policy; /* SCHED_* */
    int32_t nice;
    uint32_t priority;
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_parent_scheduler, flags) == 8, "parentScheduler");
_Static_assert(offsetof(struct plan_parent_scheduler, runtime) == 16, "parentScheduler");
_Static_assert(offsetof(struct plan_parent_scheduler, deadline) == 24, "parentScheduler");
_Static_assert(offsetof(struct plan_parent_scheduler, period) == 32, "parentScheduler");
_Static_assert(offsetof(struct plan_parent_scheduler, policy) == 40, "parentScheduler");
_Static_assert(offsetof(struct plan_parent_scheduler, nice) == 44, "parentScheduler");
_Static_assert(offsetof(struct plan_parent_scheduler, priority) == 48, "parentScheduler");
_Static_assert(sizeof(struct plan_parent_scheduler) == 56, "parentScheduler");

/* take the descriptor of SECCOMP_LISTEN, which comes before, to a seccomp agent; RELEASE comes after */
struct plan_parent_listener {
    struct wire_header header;
    struct wire_span path; /* unix stream socket of the agent */
    struct wire_list state; /* the container process state; the process's pid comes between two parts */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_parent_listener, path) == 8, "parentListener");
_Static_assert(offsetof(struct plan_parent_listener, state) == 16, "parentListener");
_Static_assert(sizeof(struct plan_parent_listener) == 32, "parentListener");

/* move a network interface into the process's network namespace, and configure it there */
struct plan_parent_net_device {
    struct wire_header header;
    struct wire_span host; /* its name here, for messages */
    struct wire_span name; /* its name there, by which it is found */
    struct wire_span move; /* netlink message to send here; its last 4 bytes become a descriptor of the namespace */
    struct wire_span configure; /* netlink messages to send there; the 4 bytes at 20 of each become its index */
} __attribute__((aligned(8)));
_Static_assert(offsetof(struct plan_parent_net_device, host) == 8, "parentNetDevice");
_Static_assert(offsetof(struct plan_parent_net_device, name) == 16, "parentNetDevice");
_Static_assert(offsetof(struct plan_parent_net_device, move) == 24, "parentNetDevice");
_Static_assert(offsetof(struct plan_parent_net_device, configure) == 32, "parentNetDevice");
_Static_assert(sizeof(struct plan_parent_net_device) == 40, "parentNetDevice");

#endif
