/*
 * gantry-shim: `run` is the shim of one container, `launch` the native half of the gantry-oci command, `hold`
 * waits until the other end of its socket is closed, to keep a scope of systemd in which nothing runs yet.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "shim.h"

/* native/executor */
int launch_command_main(int argc, char **argv);

#define HOLD_SOCKET 3

static int hold(void) {
    char byte;
    for (;;) {
        ssize_t count = read(HOLD_SOCKET, &byte, 1);
        if (count == 0 || (count < 0 && errno != EINTR)) return 0;
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "run") == 0) return shim_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "launch") == 0) return launch_command_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "hold") == 0) return hold();
    return 2;
}
