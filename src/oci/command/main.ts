/**
 * The entry of gantry-oci. What a command prints it has written when it ends; taking the engine apart, as process.exit
 * does, would take as long as a command.
 */
import { endProcess } from "../../native/notify.ts";
import { runCommandLine } from "./command-line.ts";
import { restoreOpenFiles } from "./open-files.ts";

restoreOpenFiles();
void runCommandLine(process.argv.slice(2)).then(endProcess);
