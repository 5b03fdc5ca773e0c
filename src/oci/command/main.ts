/** The entry of gantry-oci. */
import { runCommandLine } from "./command-line.ts";

void runCommandLine(process.argv.slice(2)).then((status) => process.exit(status));
