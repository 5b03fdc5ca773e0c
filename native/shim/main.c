/* gantry-shim: `run` is the shim of one container, `launch` the native half of the gantry-oci command. */
#include <string.h>

#include "shim.h"

/* native/executor */
int launch_command_main(int argc, char **argv);

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "run") == 0) return shim_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "launch") == 0) return launch_command_main(argc, argv);
    return 2;
}
