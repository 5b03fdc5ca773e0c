/*
 * The kernel's own files. Everything below /proc that the interpreter reads or writes is opened relative to a
 * descriptor that has been verified to be the root of a procfs, without crossing mounts and without magic
 * links: whatever a container puts on its /proc cannot redirect a write (CVE-2019-16884, CVE-2025-52881).
 */
#ifndef GANTRY_PROCFS_H
#define GANTRY_PROCFS_H

#include "context.h"

#define PROC_FD_NAME 32

/* The verified root of /proc as the caller sees it, opened at the first use. -1 with errno; ENOTSUP: not a
 * procfs. */
int procfs_root(struct plan_context *context);
/* Opens a file below it. -1 with errno. */
int procfs_open(struct plan_context *context, const char *path, int flags);
/* Writes the text in one call. -1 with errno. */
int procfs_write(struct plan_context *context, const char *path, const char *text);

/* Follows a magic link of procfs ("PID/ns/user"), which itself and whose directory are verified in the same
 * way. -1 with errno. */
int procfs_follow(struct plan_context *context, const char *path, int flags);

/* The same two for who has no context: the root is opened and closed again. -1 with errno. */
int procfs_host_open(const char *path, int flags);
int procfs_host_follow(const char *path, int flags);

/* "self/fd/N", relative to the root. */
void procfs_fd_name(int fd, char name[PROC_FD_NAME]);
/* "self/NAME", or "PID/NAME" for the launcher. False when it does not fit. */
bool procfs_process_name(const struct plan_context *context, const char *name, char *out, size_t size);
/* Decimal digits and a NUL; 12 bytes are enough. Returns the length. */
size_t procfs_decimal(long value, char *out);

#endif
