/*
 * Keeping a container's hands off our own program file. Until its exec, a container's process is this
 * program, so that /proc/self/exe as a command (or as a script's interpreter) is a way to a descriptor of the
 * file on the host, which can be opened for writing once nobody runs it any more (CVE-2019-5736). Run from a
 * read-only clone of the file's mount, that is EROFS for ever; it costs no memory.
 */
#ifndef GANTRY_PROGRAM_H
#define GANTRY_PROGRAM_H

/*
 * Executes the program again, from a read-only mount, or from a sealed copy in memory where the kernel cannot
 * do that; returns at once when it is so already, or cannot be done (no privilege). Call it first in main.
 */
void program_protect(char **argv);

#endif
