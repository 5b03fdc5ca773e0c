/*
 * Writing sysctls of the calling thread's namespaces, through a descriptor that is proven to be the kernel's
 * own procfs and not something mounted over it (the class of CVE-2025-52881).
 */
#ifndef GANTRY_ADDON_SYSCTL_H
#define GANTRY_ADDON_SYSCTL_H

#include "addon.h"

/* A list is path, value, path, value, …, NULL; a path is the segments below /proc/sys
   ("net/ipv4/ip_forward"), which TypeScript has checked. */

/* Copies an array of strings; NULL with an exception pending. */
char **sysctl_list_read(napi_env env, napi_value array);

/* NULL is allowed. */
void sysctl_list_free(char **list);

/* Writes them in order. 0, or -1 with errno and the path that failed (valid while the list is). */
int sysctl_list_write(char **list, const char **failed);

#endif
