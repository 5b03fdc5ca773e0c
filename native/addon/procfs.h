/*
 * Files below /proc, through a descriptor that is proven to be the root of the kernel's own procfs, and
 * through nothing that is mounted in it: what lies over a file there cannot feign one (the class of
 * CVE-2025-52881).
 */
#ifndef GANTRY_ADDON_PROCFS_H
#define GANTRY_ADDON_PROCFS_H

/* An O_PATH descriptor of /proc; -1 with errno (ENOTSUP if it is something else). */
int procfs_open_root(void);

/* Opens a path below it, or below a directory that was opened so, without magic links. -1 with errno. */
int procfs_open(int directory, const char *path, int flags);

#endif
