/* Mounts by descriptor, for the parts of the addon. No path is walked twice, no final symlink is followed. */
#ifndef GANTRY_ADDON_MOUNT_H
#define GANTRY_ADDON_MOUNT_H

/* Bind mounts what source refers to onto what target refers to, by descriptors alone. 0, or -1 with errno. */
int mount_bind(int source, int target);

/* Detaches every mount that stands on `name` (one segment) in the directory; none, or no such file, is no
 * error. */
int mount_detach(int directory, const char *name);

#endif
