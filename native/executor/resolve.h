/*
 * Finding and making paths inside a root filesystem. Nothing is ever reached by string from the host's root:
 * the kernel resolves with RESOLVE_IN_ROOT, so that symbolic links and ".." stay inside (CVE-2019-18837,
 * CVE-2021-30465), and what is missing is made relative to a directory's descriptor (CVE-2024-45310).
 */
#ifndef GANTRY_RESOLVE_H
#define GANTRY_RESOLVE_H

#include "context.h"

/* openat2 below the root filesystem; `resolve` adds RESOLVE_* flags. A descriptor, or -1 with errno. */
int root_open(const struct plan_context *context, const char *path, int flags, uint64_t resolve);

/* The same below any directory. */
int open_in_root(int root, const char *path, int flags, uint64_t resolve);

/*
 * An O_PATH descriptor of the path, which is made where it is missing: directories 0755, and an empty file
 * 0644 as the last component if `directory` is false. Dangling symbolic links are followed inside the root.
 * An existing path is returned whatever it is. A descriptor, or -1 with errno.
 */
int root_make(const struct plan_context *context, const char *path, bool directory);

/* The directory of devices and links, made if missing and kept open for the next one. Not to be closed. */
int root_directory(struct plan_context *context, const char *path);

#endif
