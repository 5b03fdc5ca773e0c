/*
 * All operations, by group. Each has its record in src/oci/plan.ts, which tells what it does; the table that
 * maps codes to functions is in interpret.c.
 */
#ifndef GANTRY_OPERATIONS_H
#define GANTRY_OPERATIONS_H

#include "context.h"

/* op_namespace.c */
plan_operation op_join_pidfd, op_join_namespace, op_unshare, op_time_offsets, op_become_root, op_cgroup_join,
    op_fork, op_keyring;
/* op_root.c */
plan_operation op_current_root, op_propagation, op_private_mount, op_root_overlay, op_root_bind,
    op_root_attach, op_pivot, op_root_attributes;
/* op_id_map.c */
plan_operation op_keep_id_map, op_join_id_map, op_map_directory, op_prepare_bind, op_attach;
/* op_mount.c */
plan_operation op_mount, op_keep_source, op_bind, op_remount, op_readonly_path, op_mask_path;
/* op_image.c */
plan_operation op_image_volume;
/* op_node.c */
plan_operation op_make_directory, op_device, op_symlink;
/* op_kernel.c */
plan_operation op_sysctl, op_hostname, op_domainname, op_rlimit, op_oom_score, op_security_label, op_id_map;
/* op_terminal.c */
plan_operation op_console, op_session, op_own_stdio;
/* op_scheduling.c */
plan_operation op_personality, op_scheduler, op_io_priority, op_cpu_affinity, op_memory_policy;
/* op_identity.c */
plan_operation op_working_directory, op_no_new_privileges, op_bounding_set, op_user, op_capabilities,
    op_seccomp;
/* op_listener.c */
plan_operation op_seccomp_listen;
/* op_net_device.c */
plan_operation op_net_device;
/* op_command.c */
plan_operation op_open_fifo, op_close_descriptors, op_check_command, op_exec, op_pause, op_end;
/* What OP_EXEC needs memory for, before the process's filter may forbid the calls that get it. */
plan_operation op_prepare_exec;
/* A NULL-terminated array of pointers to the `count` strings of a list; the caller frees it. NULL: no memory.
 */
char **plan_string_array(const char *first, uint32_t count);
/* op_runtime.c */
plan_operation op_runtime_command, op_adopt;
/* op_hook.c */
plan_operation op_hook;

#endif
