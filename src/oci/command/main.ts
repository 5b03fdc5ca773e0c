/** The entry of gantry-oci. */
import { gantryOciCommand } from "./command-line.ts";

await gantryOciCommand.parseAsync();
